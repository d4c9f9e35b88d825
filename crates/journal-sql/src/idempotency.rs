//! Idempotency keys: which are stored, and when they go.

use std::collections::HashMap;

use pointsman_domain::{
    id::{EventId, WorkspaceId},
    timestamp::Timestamp,
};
use pointsman_journal::{
    command::Append,
    storage::{Batch, KeyName, StoredKey},
};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Statement, Value};
use uuid::Uuid;

use crate::sql::{multi_row, numbered, power_of_two_chunks};

/// How long a key is remembered.
const LIFETIME_MILLIS: i64 = 24 * 60 * 60 * 1000;
const ROWS_PER_STATEMENT: usize = 128;
/// Expired keys deleted in one transaction.
pub(crate) const EXPIRED_PER_TURN: u64 = 1000;

/// Those of the keys that are stored and have not expired at `now`.
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

/// Stores the keys of the appends with their events. One that has expired is replaced.
pub(crate) async fn write_keys(
    batch: &Batch,
    transaction: &DatabaseTransaction,
    now: Timestamp,
) -> Result<(), DbErr> {
    let rows: Vec<[Value; 5]> = batch
        .appends
        .iter()
        .filter_map(|staged| key_values(&staged.append, now))
        .collect();
    for chunk in power_of_two_chunks(&rows, ROWS_PER_STATEMENT) {
        let statement = multi_row(
            transaction.get_database_backend(),
            "INSERT INTO publish_idempotency_key (workspace_id, key, body_sha256, event_ids, created_at) VALUES",
            5,
            chunk.len(),
            "ON CONFLICT (workspace_id, key) DO UPDATE SET body_sha256 = excluded.body_sha256, \
             event_ids = excluded.event_ids, created_at = excluded.created_at",
            chunk.concat(),
        );
        transaction.execute_raw(statement).await?;
    }
    Ok(())
}

fn key_values(append: &Append, now: Timestamp) -> Option<[Value; 5]> {
    let idempotency = append.idempotency.as_ref()?;
    let event_ids: Vec<u8> = append
        .events
        .iter()
        .flat_map(|event| event.id.uuid().into_bytes())
        .collect();
    Some([
        append.workspace_id.uuid().into(),
        idempotency.key.as_ref().into(),
        idempotency.body_sha256.to_vec().into(),
        event_ids.into(),
        now.millis().into(),
    ])
}

fn ids_of(bytes: &[u8]) -> Vec<EventId> {
    bytes
        .chunks_exact(16)
        .filter_map(|id| Uuid::from_slice(id).ok())
        .map(EventId::new)
        .collect()
}

/// Deletes some of the keys that have expired at `now`, the oldest first. Returns how many.
pub(crate) async fn delete_expired<C: ConnectionTrait>(connection: &C, now: Timestamp) -> Result<u64, DbErr> {
    let backend = connection.get_database_backend();
    let [first, second] = numbered(backend);
    let sql = format!(
        "DELETE FROM publish_idempotency_key WHERE (workspace_id, key) IN (SELECT workspace_id, key \
         FROM publish_idempotency_key WHERE created_at <= {first} ORDER BY created_at LIMIT {second})"
    );
    let values: [Value; 2] = [
        (now.millis() - LIFETIME_MILLIS).into(),
        i64::try_from(EXPIRED_PER_TURN).unwrap_or(i64::MAX).into(),
    ];
    let deleted = connection
        .execute_raw(Statement::from_sql_and_values(backend, sql, values))
        .await?;
    Ok(deleted.rows_affected())
}
