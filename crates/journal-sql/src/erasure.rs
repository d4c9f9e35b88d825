//! Erasing the payload of an event: in the log, and then in whatever else holds something of it.

use pointsman_domain::{
    event::ERASED_PAYLOAD,
    id::{EventId, UserId, WorkspaceId},
    seq::Seq,
    timestamp::Timestamp,
};
use pointsman_journal::{ChangeError, CorruptRows, Notice, prune::ErasedTable};
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, Value};

use crate::{
    reads,
    sql::{numbered_statement, run},
};

/// Has SQLite overwrite with zeros what its next transactions free in the database file. PostgreSQL has nothing like
/// it.
pub(crate) async fn overwrite(connection: &DatabaseConnection, is_on: bool) -> Result<(), DbErr> {
    if connection.get_database_backend() != DbBackend::Sqlite {
        return Ok(());
    }
    let sql = format!("PRAGMA secure_delete = {}", if is_on { "on" } else { "off" });
    connection.execute_unprepared(&sql).await.map(drop)
}

/// Erases the payload and the actor in the log, and remembers that. Nothing is done where it was done before. Returns
/// the notice for the router.
pub(crate) async fn begin(
    transaction: &DatabaseTransaction,
    workspace: WorkspaceId,
    event: EventId,
    by: UserId,
    now: Timestamp,
) -> Result<Option<Notice>, ChangeError> {
    let find = "SELECT seq FROM platform_event WHERE id = {1} AND workspace_id = {2}";
    let values = vec![event.uuid().into(), workspace.uuid().into()];
    let found = numbered_statement(transaction.get_database_backend(), find, values);
    let row = transaction.query_one_raw(found).await?;
    let seq = Seq::new(row.ok_or(ChangeError::NotFound("event"))?.try_get("", "seq")?);
    let insert = "INSERT INTO event_erasure (workspace_id, seq, event_id, erased_at, erased_by) \
                  VALUES ({1}, {2}, {3}, {4}, {5}) ON CONFLICT DO NOTHING";
    let values = vec![
        workspace.uuid().into(),
        seq.get().into(),
        event.uuid().into(),
        now.millis().into(),
        by.uuid().into(),
    ];
    if run(transaction, insert, values).await? == 0 {
        return Ok(None);
    }
    let erase =
        "UPDATE platform_event SET payload = {1}, actor = NULL WHERE workspace_id = {2} AND seq = {3}";
    let values = vec![ERASED_PAYLOAD.into(), workspace.uuid().into(), seq.get().into()];
    run(transaction, erase, values).await?;
    let left = reads::page(
        transaction,
        &CorruptRows::default(),
        workspace,
        seq.prev(),
        seq,
        1,
    )
    .await?;
    Ok(left.into_iter().next().map(Notice::EventErased))
}

/// Everything is erased.
pub(crate) async fn end(
    transaction: &DatabaseTransaction,
    workspace: WorkspaceId,
    event: EventId,
) -> Result<Option<Notice>, ChangeError> {
    let end = "UPDATE event_erasure SET finished = TRUE WHERE workspace_id = {1} AND event_id = {2} AND seq = \
               (SELECT e.seq FROM platform_event e WHERE e.id = {3})";
    let values = vec![workspace.uuid().into(), event.uuid().into(), event.uuid().into()];
    run(transaction, end, values).await?;
    Ok(None)
}

/// Erases what at most `limit` rows of the table hold of the event. Returns how many rows.
pub(crate) async fn erase(
    transaction: &DatabaseTransaction,
    workspace: WorkspaceId,
    event: EventId,
    table: ErasedTable,
    limit: u64,
) -> Result<u64, DbErr> {
    let (counted, erase) = match table {
        ErasedTable::DeadLetters => (
            "dead_letters",
            "UPDATE dead_letter_event SET payload = 'null', actor = NULL, last_error = NULL WHERE id IN \
             (SELECT id FROM dead_letter_event WHERE event_id = {1} AND payload <> 'null' LIMIT {2})",
        ),
        ErasedTable::Attempts => (
            "attempts",
            "UPDATE ext_delivery_attempt SET error = NULL, response = NULL WHERE (event_id, installation_id, id) IN \
             (SELECT event_id, installation_id, id FROM ext_delivery_attempt WHERE event_id = {1} \
             AND (error IS NOT NULL OR response IS NOT NULL) LIMIT {2})",
        ),
        ErasedTable::Retries => (
            "retries",
            "UPDATE ext_delivery_retry SET last_error = NULL \
             WHERE (installation_id, kind, event_id, handler) IN (SELECT installation_id, kind, event_id, handler \
             FROM ext_delivery_retry WHERE event_id = {1} AND last_error IS NOT NULL LIMIT {2})",
        ),
        ErasedTable::ChatMessages => {
            let erase = "UPDATE chat_message SET message = '', sender = '' WHERE workspace_id = {1} \
                         AND event_id = {2} AND (message <> '' OR sender <> '')";
            let values = vec![workspace.uuid().into(), event.uuid().into()];
            return count(transaction, workspace, event, "chat_messages", erase, values).await;
        }
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = vec![event.uuid().into(), limit.into()];
    count(transaction, workspace, event, counted, erase, values).await
}

/// Executes the statement, and adds its rows to this count of the erasure.
async fn count(
    transaction: &DatabaseTransaction,
    workspace: WorkspaceId,
    event: EventId,
    counted: &str,
    erase: &str,
    values: Vec<Value>,
) -> Result<u64, DbErr> {
    let rows = run(transaction, erase, values).await?;
    if rows > 0 {
        let add = format!(
            "UPDATE event_erasure SET {counted} = {counted} + {{1}} WHERE workspace_id = {{2}} AND event_id = {{3}} \
             AND seq = (SELECT e.seq FROM platform_event e WHERE e.id = {{4}})"
        );
        let values = vec![
            i64::try_from(rows).unwrap_or(i64::MAX).into(),
            workspace.uuid().into(),
            event.uuid().into(),
            event.uuid().into(),
        ];
        run(transaction, &add, values).await?;
    }
    Ok(rows)
}

/// The erasures that a former start has begun and not ended.
pub(crate) async fn unfinished<C: ConnectionTrait>(
    connection: &C,
) -> Result<Vec<(WorkspaceId, EventId)>, DbErr> {
    let sql = "SELECT workspace_id, event_id FROM event_erasure WHERE NOT finished";
    let statement = numbered_statement(connection.get_database_backend(), sql, Vec::new());
    let rows = connection.query_all_raw(statement).await?;
    rows.iter()
        .map(|row| {
            let workspace = WorkspaceId::new(row.try_get("", "workspace_id")?);
            Ok((workspace, EventId::new(row.try_get("", "event_id")?)))
        })
        .collect()
}
