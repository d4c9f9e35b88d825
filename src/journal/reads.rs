//! Reads of the log and of the retry table, on the pool for reads.

use std::sync::Arc;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement, Value};

use super::batch::numbered;
use crate::domain::{
    attempt::DeliveryKind,
    event::{NewEvent, PlatformEvent},
    event_key::EventKey,
    id::{DeadLetterId, EventId, InstallationId, WorkspaceId},
    lane::{DeliveryKey, RetryRow},
    seq::Seq,
    timestamp::Timestamp,
};

/// The highest place in the workspace's log.
pub(super) async fn head<C: ConnectionTrait>(connection: &C, workspace: WorkspaceId) -> Result<Seq, DbErr> {
    let backend = connection.get_database_backend();
    let [first] = numbered(backend);
    let sql = format!("SELECT MAX(seq) AS head FROM platform_event WHERE workspace_id = {first}");
    let row = connection
        .query_one_raw(Statement::from_sql_and_values(
            backend,
            sql,
            [workspace.uuid().into()],
        ))
        .await?;
    let head: Option<i64> = row.map(|row| row.try_get("", "head")).transpose()?.flatten();
    Ok(Seq::new(head.unwrap_or(0)))
}

/// Up to `limit` events in `(after, through]`, in order.
pub(super) async fn page<C: ConnectionTrait>(
    connection: &C,
    workspace: WorkspaceId,
    after: Seq,
    through: Seq,
    limit: usize,
) -> Result<Vec<Arc<PlatformEvent>>, DbErr> {
    let backend = connection.get_database_backend();
    let [first, second, third, fourth] = numbered(backend);
    let sql = format!(
        "SELECT seq, id, event_key, schema_version, actor, payload, occurred_at, traceparent FROM platform_event \
         WHERE workspace_id = {first} AND seq > {second} AND seq <= {third} ORDER BY seq LIMIT {fourth}"
    );
    let values: [Value; 4] = [
        workspace.uuid().into(),
        after.get().into(),
        through.get().into(),
        i64::try_from(limit).unwrap_or(i64::MAX).into(),
    ];
    let rows = connection
        .query_all_raw(Statement::from_sql_and_values(backend, sql, values))
        .await?;
    rows.iter()
        .map(|row| event(row, workspace, EventId::new(row.try_get("", "id")?)).map(Arc::new))
        .collect()
}

/// The event in columns named as in `platform_event` and `dead_letter_event`.
fn event(row: &QueryResult, workspace: WorkspaceId, id: EventId) -> Result<PlatformEvent, DbErr> {
    let seq = Seq::new(row.try_get("", "seq")?);
    let payload: String = row.try_get("", "payload")?;
    let event = NewEvent {
        id,
        event_key: EventKey::from_stored(row.try_get("", "event_key")?),
        schema_version: row.try_get("", "schema_version")?,
        actor: row.try_get("", "actor")?,
        payload: payload.into_boxed_str(),
        occurred_at: Timestamp::from_millis(row.try_get("", "occurred_at")?),
        traceparent: row.try_get("", "traceparent")?,
    };
    Ok(PlatformEvent::record(workspace, seq, event))
}

/// Retries of the installation that are due by `due_by`, the earliest first, and the time of the first that
/// was not returned. A retry of kind `REPLAY` brings the letter's copy of the event.
pub(super) async fn due_retries<C: ConnectionTrait>(
    connection: &C,
    workspace: WorkspaceId,
    installation: InstallationId,
    due_by: Timestamp,
    limit: usize,
) -> Result<(Vec<RetryRow>, Option<Timestamp>), DbErr> {
    let backend = connection.get_database_backend();
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let statement = Statement::from_sql_and_values(
        backend,
        due_retries_sql(backend),
        [
            installation.uuid().into(),
            due_by.millis().into(),
            limit.saturating_add(1).into(),
        ],
    );
    let found = connection.query_all_raw(statement).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut rows = Vec::with_capacity(found.len().min(limit));
    for row in found.iter().take(limit) {
        rows.push(retry(row, workspace)?);
    }
    let next = match found.get(limit) {
        Some(row) => Some(Timestamp::from_millis(row.try_get("", "next_attempt_at")?)),
        None => first_retry_after(connection, installation, due_by).await?,
    };
    Ok((rows, next))
}

fn due_retries_sql(backend: DbBackend) -> String {
    let [first, second, third] = numbered(backend);
    format!(
        "SELECT r.kind, r.event_id, r.attempts, r.next_attempt_at, r.dead_letter_id, r.last_error, r.last_status, \
         r.seq AS seq, COALESCE(d.event_key, e.event_key) AS event_key, COALESCE(d.payload, e.payload) AS payload, \
         COALESCE(d.schema_version, e.schema_version) AS schema_version, COALESCE(d.actor, e.actor) AS actor, \
         COALESCE(d.occurred_at, e.occurred_at) AS occurred_at, COALESCE(d.traceparent, e.traceparent) AS traceparent \
         FROM ext_delivery_retry r LEFT JOIN dead_letter_event d ON d.id = r.dead_letter_id \
         LEFT JOIN platform_event e ON e.id = r.event_id AND r.dead_letter_id IS NULL \
         WHERE r.installation_id = {first} AND r.next_attempt_at <= {second} \
         ORDER BY r.next_attempt_at, r.seq LIMIT {third}"
    )
}

fn retry(row: &QueryResult, workspace: WorkspaceId) -> Result<RetryRow, DbErr> {
    let kind: String = row.try_get("", "kind")?;
    let kind = DeliveryKind::parse(&kind).ok_or_else(|| DbErr::Type(format!("delivery kind {kind}")))?;
    let event_id = EventId::new(row.try_get("", "event_id")?);
    let attempts: i32 = row.try_get("", "attempts")?;
    let letter: Option<uuid::Uuid> = row.try_get("", "dead_letter_id")?;
    let last_status: Option<i32> = row.try_get("", "last_status")?;
    Ok(RetryRow {
        key: DeliveryKey { kind, event_id },
        event: Arc::new(event(row, workspace, event_id)?),
        attempts: u32::try_from(attempts).unwrap_or(0),
        next_attempt_at: Timestamp::from_millis(row.try_get("", "next_attempt_at")?),
        dead_letter_id: letter.map(DeadLetterId::new),
        last_error: row.try_get("", "last_error")?,
        last_status: last_status.and_then(|status| u16::try_from(status).ok()),
    })
}

async fn first_retry_after<C: ConnectionTrait>(
    connection: &C,
    installation: InstallationId,
    after: Timestamp,
) -> Result<Option<Timestamp>, DbErr> {
    let backend = connection.get_database_backend();
    let [first, second] = numbered(backend);
    let sql = format!(
        "SELECT MIN(next_attempt_at) AS next FROM ext_delivery_retry WHERE installation_id = {first} AND \
         next_attempt_at > {second}"
    );
    let values = [installation.uuid().into(), after.millis().into()];
    let row = connection
        .query_one_raw(Statement::from_sql_and_values(backend, sql, values))
        .await?;
    let next: Option<i64> = row.map(|row| row.try_get("", "next")).transpose()?.flatten();
    Ok(next.map(Timestamp::from_millis))
}

/// Workspaces in which a cursor stands before the head, or a retry is due by `due_by`.
pub(super) async fn workspaces_with_work<C: ConnectionTrait>(
    connection: &C,
    due_by: Timestamp,
) -> Result<Vec<WorkspaceId>, DbErr> {
    let backend = connection.get_database_backend();
    let [first] = numbered(backend);
    let sql = format!(
        "SELECT c.workspace_id AS id FROM ext_delivery_cursor c \
         JOIN ext_installation i ON i.id = c.installation_id AND NOT i.closed \
         WHERE EXISTS (SELECT 1 FROM platform_event e WHERE e.workspace_id = c.workspace_id AND e.seq > c.settled_seq) \
         OR i.uninstalled_at IS NOT NULL \
         UNION SELECT r.workspace_id FROM ext_delivery_retry r WHERE r.next_attempt_at <= {first}"
    );
    let rows = connection
        .query_all_raw(Statement::from_sql_and_values(
            backend,
            sql,
            [due_by.millis().into()],
        ))
        .await?;
    rows.iter()
        .map(|row| row.try_get("", "id").map(WorkspaceId::new))
        .collect()
}

/// The time of the earliest retry after `after`.
pub(super) async fn earliest_retry_after<C: ConnectionTrait>(
    connection: &C,
    after: Timestamp,
) -> Result<Option<Timestamp>, DbErr> {
    let backend = connection.get_database_backend();
    let [first] = numbered(backend);
    let sql = format!(
        "SELECT MIN(next_attempt_at) AS next FROM ext_delivery_retry WHERE next_attempt_at > {first}"
    );
    let row = connection
        .query_one_raw(Statement::from_sql_and_values(
            backend,
            sql,
            [after.millis().into()],
        ))
        .await?;
    let next: Option<i64> = row.map(|row| row.try_get("", "next")).transpose()?.flatten();
    Ok(next.map(Timestamp::from_millis))
}
