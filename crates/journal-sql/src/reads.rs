//! Queries of the log and of the retry table, for the pool for reads and the writer connection.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement, Value};

use super::{
    event_row,
    sql::{numbered, rows_of},
};
use pointsman_domain::{
    attempt::DeliveryKind,
    event::PlatformEvent,
    handler_name::HandlerName,
    id::{DeadLetterId, EventId, InstallationId, WorkspaceId},
    lane::{DeliveryKey, RetryRow},
    seq::Seq,
    timestamp::Timestamp,
};
use pointsman_journal::CorruptRows;

/// SQL for the highest position in the log of the workspace `id`, which is given twice because some statements number
/// their parameters. A log without events ends where it is pruned through.
pub(super) fn head_of(id: &str, same_id: &str) -> String {
    format!(
        "COALESCE((SELECT MAX(e.seq) FROM platform_event e WHERE e.workspace_id = {id}), \
         (SELECT l.pruned_through FROM workspace_log l WHERE l.workspace_id = {same_id}), 0)"
    )
}

/// The highest position in the workspace's log.
pub(super) async fn head<C: ConnectionTrait>(connection: &C, workspace: WorkspaceId) -> Result<Seq, DbErr> {
    let backend = connection.get_database_backend();
    let [first, second] = numbered(backend);
    let sql = format!("SELECT {} AS head", head_of(first, second));
    let values = [workspace.uuid().into(), workspace.uuid().into()];
    let row = connection
        .query_one_raw(Statement::from_sql_and_values(backend, sql, values))
        .await?;
    let head: i64 = row.map_or(Ok(0), |row| row.try_get("", "head"))?;
    Ok(Seq::new(head))
}

/// The highest positions in the logs of the workspaces, with one index look-up each.
pub(super) async fn heads<C: ConnectionTrait>(
    connection: &C,
    workspaces: BTreeSet<WorkspaceId>,
) -> Result<BTreeMap<WorkspaceId, Seq>, DbErr> {
    let head = head_of("v.column1", "v.column1");
    let head = format!("SELECT v.column1 AS workspace_id, {head} AS head FROM (VALUES");
    let workspaces: Vec<WorkspaceId> = workspaces.into_iter().collect();
    let mut heads = BTreeMap::new();
    let statements = rows_of(
        &workspaces,
        connection.get_database_backend(),
        &head,
        ") AS v",
        |id| vec![id.uuid().into()],
    );
    for statement in statements {
        for row in connection.query_all_raw(statement).await? {
            let workspace = WorkspaceId::new(row.try_get("", "workspace_id")?);
            heads.insert(workspace, Seq::new(row.try_get("", "head")?));
        }
    }
    Ok(heads)
}

/// Up to `limit` events in `(after, through]`, in order. An event with a column that cannot be read has a defect.
pub(super) async fn page<C: ConnectionTrait>(
    connection: &C,
    corrupt: &CorruptRows,
    workspace: WorkspaceId,
    after: Seq,
    through: Seq,
    limit: usize,
) -> Result<Vec<Arc<PlatformEvent>>, DbErr> {
    let backend = connection.get_database_backend();
    let [first, second, third, fourth] = numbered(backend);
    let sql = format!(
        "SELECT seq, id, event_key, schema_version, actor, payload, occurred_at, traceparent, \
         causation_id, correlation_id, causation_depth FROM platform_event \
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
    let mut events = Vec::with_capacity(rows.len());
    for row in &rows {
        let event = event_row::logged_event(row, workspace, Seq::new(row.try_get("", "seq")?));
        note_defect(corrupt, "platform_event", &event);
        events.push(Arc::new(event));
    }
    Ok(events)
}

fn note_defect(corrupt: &CorruptRows, table: &'static str, event: &PlatformEvent) {
    if let Some(defect) = &event.defect
        && !event.is_erased()
    {
        corrupt.note(table, event.workspace_id, event.id.uuid(), defect);
    }
}

/// Retries of the installation that are due by `due_by`, the earliest first, and the time of the first that was not
/// returned. A retry of kind `REPLAY` has the dead letter's copy of the event. A retry whose event is gone has a
/// stand-in with a defect.
pub(super) async fn due_retries<C: ConnectionTrait>(
    connection: &C,
    corrupt: &CorruptRows,
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
    let taken = found.len().min(limit);
    let rows: Vec<RetryRow> = found[..taken]
        .iter()
        .filter_map(|row| retry(row, corrupt, workspace, installation))
        .collect();
    let next = match found.get(limit) {
        // Where no row of the page could be read, the same page must not be read again at once.
        Some(row) if !rows.is_empty() => row
            .try_get("", "next_attempt_at")
            .ok()
            .map(Timestamp::from_millis),
        _ => first_retry_after(connection, installation, due_by).await?,
    };
    Ok((rows, next))
}

/// True for the kinds that this version knows. Rows of other kinds are ignored: a newer version may have written them.
/// Written as a CASE, because planners do not use it to choose an index: they keep the one that gives the order.
pub(super) const IS_KNOWN_KIND: &str =
    "CASE r.kind WHEN 'LIVE' THEN TRUE WHEN 'REPLAY' THEN TRUE ELSE FALSE END";

/// The inner query limits the page first; then the event of each row is looked up.
pub(super) fn due_retries_sql(backend: DbBackend) -> String {
    let [first, second, third] = numbered(backend);
    format!(
        "SELECT r.kind, r.event_id, r.handler, r.attempts, r.next_attempt_at, r.dead_letter_id, r.last_error, \
         r.last_status, r.seq AS seq, COALESCE(d.id, e.id) AS found, \
         COALESCE(d.event_key, e.event_key) AS event_key, \
         COALESCE(d.payload, e.payload) AS payload, COALESCE(d.schema_version, e.schema_version) AS schema_version, \
         COALESCE(d.actor, e.actor) AS actor, COALESCE(d.occurred_at, e.occurred_at) AS occurred_at, \
         COALESCE(d.traceparent, e.traceparent) AS traceparent, \
         COALESCE(d.causation_id, e.causation_id) AS causation_id, \
         COALESCE(d.correlation_id, e.correlation_id) AS correlation_id, \
         COALESCE(d.causation_depth, e.causation_depth) AS causation_depth \
         FROM (SELECT * FROM ext_delivery_retry r WHERE r.installation_id = {first} AND r.next_attempt_at <= {second} \
         AND {IS_KNOWN_KIND} ORDER BY r.next_attempt_at, r.seq LIMIT {third}) r \
         LEFT JOIN dead_letter_event d ON d.id = r.dead_letter_id \
         LEFT JOIN platform_event e ON e.id = r.event_id AND r.dead_letter_id IS NULL \
         ORDER BY r.next_attempt_at, r.seq"
    )
}

/// The retry with its event. None where its key cannot be read: such a row could not be removed by its key.
fn retry(
    row: &QueryResult,
    corrupt: &CorruptRows,
    workspace: WorkspaceId,
    installation: InstallationId,
) -> Option<RetryRow> {
    let read = |name| row.try_get::<uuid::Uuid>("", name);
    let kind = row.try_get::<String>("", "kind").ok();
    let (Some(kind), Ok(event_id)) = (kind.as_deref().and_then(DeliveryKind::parse), read("event_id")) else {
        let what = "a retry of this installation has no readable key";
        corrupt.note("ext_delivery_retry", workspace, installation.uuid(), what);
        return None;
    };
    let handler = row.try_get::<String>("", "handler").unwrap_or_default();
    let note = |what: &str| corrupt.note("ext_delivery_retry", workspace, event_id, what);
    let number = |name: &str| {
        row.try_get::<i64>("", name)
            .or_else(|_| row.try_get::<i32>("", name).map(i64::from))
            .unwrap_or_else(|_| {
                note(&format!("its {name} cannot be read"));
                0
            })
    };
    let attempts = u32::try_from(number("attempts")).unwrap_or_else(|_| {
        note("its number of attempts is negative");
        0
    });
    let seq = Seq::new(number("seq"));
    let letter = row
        .try_get::<Option<uuid::Uuid>>("", "dead_letter_id")
        .ok()
        .flatten();
    let event = match (read("found"), letter) {
        (Ok(_), _) => event_row::event(row, workspace, seq, EventId::new(event_id)),
        (Err(_), None) => lost(workspace, seq, event_id, "the event is gone from the log"),
        (Err(_), Some(_)) => lost(workspace, seq, event_id, "the dead letter to be replayed is gone"),
    };
    note_defect(corrupt, "ext_delivery_retry", &event);
    let last_status = row.try_get::<Option<i32>>("", "last_status").ok().flatten();
    Some(RetryRow {
        key: DeliveryKey {
            kind,
            event_id: EventId::new(event_id),
            handler: HandlerName::intern(&handler),
        },
        event: Arc::new(event),
        attempts,
        next_attempt_at: Timestamp::from_millis(number("next_attempt_at")),
        dead_letter_id: letter.map(DeadLetterId::new),
        last_error: row.try_get("", "last_error").ok().flatten(),
        last_status: last_status.and_then(|status| u16::try_from(status).ok()),
    })
}

fn lost(workspace: WorkspaceId, seq: Seq, event_id: uuid::Uuid, defect: &str) -> PlatformEvent {
    event_row::lost_event(workspace, seq, EventId::new(event_id), defect)
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
