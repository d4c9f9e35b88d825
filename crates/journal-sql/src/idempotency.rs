//! Looks up stored idempotency keys and deletes expired ones.

use std::collections::HashMap;

use pointsman_domain::{
    id::{EventId, WorkspaceId},
    timestamp::Timestamp,
};
use pointsman_journal::storage::{KeyName, StoredKey};
use sea_orm::{ConnectionTrait, DbErr, Statement, Value};
use uuid::Uuid;

use crate::sql::{multi_row, numbered, power_of_two_chunks};

/// How long a key is kept: 24 h.
const LIFETIME_MILLIS: i64 = 24 * 60 * 60 * 1000;
const ROWS_PER_STATEMENT: usize = 128;
/// Expired keys deleted in one transaction.
pub(crate) const EXPIRED_PER_TRANSACTION: u64 = 1000;

/// Finds the keys that are stored and have not expired at `now`.
pub(crate) async fn find<C: ConnectionTrait>(
    connection: &C,
    names: &[KeyName],
    now: Timestamp,
) -> Result<HashMap<KeyName, StoredKey>, DbErr> {
    let mut found = HashMap::new();
    for chunk in power_of_two_chunks(names, ROWS_PER_STATEMENT) {
        let values = chunk
            .iter()
            .flat_map(|(workspace, key)| [workspace.uuid().into(), key.as_ref().into()])
            .collect();
        let statement = multi_row(
            connection.get_database_backend(),
            "SELECT workspace_id, key, body_sha256, event_ids, created_at FROM publish_idempotency_key \
             WHERE (workspace_id, key) IN (VALUES",
            2,
            chunk.len(),
            ")",
            values,
        );
        for row in connection.query_all_raw(statement).await? {
            let created_at: i64 = row.try_get("", "created_at")?;
            if created_at <= now.millis() - LIFETIME_MILLIS {
                continue;
            }
            let key: String = row.try_get("", "key")?;
            let event_ids: Vec<u8> = row.try_get("", "event_ids")?;
            let stored = StoredKey {
                body_sha256: row.try_get("", "body_sha256")?,
                event_ids: ids_of(&event_ids),
            };
            let workspace = WorkspaceId::new(row.try_get("", "workspace_id")?);
            found.insert((workspace, key.into_boxed_str()), stored);
        }
    }
    Ok(found)
}

fn ids_of(bytes: &[u8]) -> Vec<EventId> {
    bytes
        .chunks_exact(16)
        .filter_map(|id| Uuid::from_slice(id).ok())
        .map(EventId::new)
        .collect()
}

/// Deletes up to [`EXPIRED_PER_TRANSACTION`] keys that have expired at `now`, the oldest first. Returns their number.
pub(crate) async fn delete_expired<C: ConnectionTrait>(connection: &C, now: Timestamp) -> Result<u64, DbErr> {
    let backend = connection.get_database_backend();
    let [first, second] = numbered(backend);
    let sql = format!(
        "DELETE FROM publish_idempotency_key WHERE (workspace_id, key) IN (SELECT workspace_id, key \
         FROM publish_idempotency_key WHERE created_at <= {first} ORDER BY created_at LIMIT {second})"
    );
    let values: [Value; 2] = [
        (now.millis() - LIFETIME_MILLIS).into(),
        i64::try_from(EXPIRED_PER_TRANSACTION).unwrap_or(i64::MAX).into(),
    ];
    let deleted = connection
        .execute_raw(Statement::from_sql_and_values(backend, sql, values))
        .await?;
    Ok(deleted.rows_affected())
}
