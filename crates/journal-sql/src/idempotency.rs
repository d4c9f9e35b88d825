//! Looks up stored idempotency keys.

use std::collections::HashMap;

use pointsman_domain::{
    id::{EventId, WorkspaceId},
    timestamp::Timestamp,
};
use pointsman_journal::storage::{KeyName, StoredKey};
use sea_orm::{ConnectionTrait, DbErr};
use uuid::Uuid;

use crate::sql::{multi_row, power_of_two_chunks};

/// How long a key is kept: 24 h.
const LIFETIME_MILLIS: i64 = 24 * 60 * 60 * 1000;
const ROWS_PER_STATEMENT: usize = 128;

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
            if created_at <= expired_since(now).millis() {
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

/// Keys that were made then or before have expired at `now`.
pub(crate) fn expired_since(now: Timestamp) -> Timestamp {
    Timestamp::from_millis(now.millis() - LIFETIME_MILLIS)
}
