//! The chain of causes of an event.

use sea_orm::{ConnectionTrait, DbErr, Statement, Value};

use super::sql::numbered;
use pointsman_domain::{
    event_key::EventKey,
    id::{EventId, WorkspaceId},
};

/// The event, the event that caused it, and so on up to the first of the chain; at most `limit` events. Ends early
/// where an event is not in the log any more.
///
/// # Errors
/// When the database does not answer, or a row cannot be read.
pub(crate) async fn causes_of<C: ConnectionTrait>(
    database: &C,
    workspace: WorkspaceId,
    event: EventId,
    limit: u32,
) -> Result<Vec<(EventId, EventKey)>, DbErr> {
    let backend = database.get_database_backend();
    let [first, second, third, fourth] = numbered(backend);
    let sql = format!(
        "WITH RECURSIVE chain (id, event_key, causation_id, step) AS (\
         SELECT id, event_key, causation_id, 1 FROM platform_event WHERE id = {first} AND workspace_id = {second} \
         UNION ALL SELECT e.id, e.event_key, e.causation_id, c.step + 1 FROM chain c \
         JOIN platform_event e ON e.id = c.causation_id WHERE e.workspace_id = {third} AND c.step < {fourth}) \
         SELECT id, event_key FROM chain ORDER BY step"
    );
    let values: [Value; 4] = [
        event.uuid().into(),
        workspace.uuid().into(),
        workspace.uuid().into(),
        i64::from(limit).into(),
    ];
    let rows = database
        .query_all_raw(Statement::from_sql_and_values(backend, sql, values))
        .await?;
    rows.iter()
        .map(|row| {
            let key: String = row.try_get("", "event_key")?;
            Ok((EventId::new(row.try_get("", "id")?), EventKey::from_stored(key)))
        })
        .collect()
}
