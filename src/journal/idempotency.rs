//! Idempotency keys: which are stored, which are on their way, and when they go.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Statement, Value};
use uuid::Uuid;

use super::{
    batch::{Batch, numbered},
    command::{Append, AppendError},
    sql::{multi_row, power_of_two_chunks},
};
use pointsman_domain::{
    id::{EventId, WorkspaceId},
    idempotency::Recorded,
    timestamp::Timestamp,
};

/// How long a key is remembered.
const LIFETIME_MILLIS: i64 = 24 * 60 * 60 * 1000;
const ROWS_PER_STATEMENT: usize = 128;
/// Expired keys deleted in one transaction.
pub(super) const EXPIRED_PER_TURN: u64 = 1000;

/// A key within its workspace.
pub(crate) type KeyName = (WorkspaceId, Box<str>);

/// What an earlier publish stored under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredKey {
    pub(crate) body_sha256: Vec<u8>,
    pub(crate) event_ids: Vec<EventId>,
}

impl StoredKey {
    /// What a publish under the key is told instead of being recorded.
    pub(super) fn answer(&self, append: &Append) -> Result<Recorded, AppendError> {
        let same = |body: &[u8]| body == self.body_sha256;
        if !append
            .idempotency
            .as_ref()
            .is_some_and(|key| same(&key.body_sha256))
        {
            return Err(AppendError::KeyReused);
        }
        // The same events: a router sent its publish once more, because the first answer was lost.
        let own = append
            .events
            .iter()
            .map(|event| event.id)
            .eq(self.event_ids.iter().copied());
        Ok(Recorded {
            event_ids: self.event_ids.clone(),
            replayed: !own,
        })
    }
}

/// The keys of the appends that the writer has taken and not answered yet. Bounded by admission.
#[derive(Debug, Default)]
pub(super) struct KeysInProgress(HashMap<KeyName, Publish>);

/// The publish that has the key, and how often it was sent.
#[derive(Debug)]
struct Publish {
    first_event: Option<EventId>,
    sent: usize,
}

impl KeysInProgress {
    /// Gives the append its key. False where another publish has it.
    pub(super) fn take(&mut self, append: &Append) -> bool {
        let Some(name) = append.key_name() else {
            return true;
        };
        let first_event = append.events.first().map(|event| event.id);
        let publish = self.0.entry(name).or_insert(Publish { first_event, sent: 0 });
        if publish.first_event != first_event {
            return false;
        }
        publish.sent += 1;
        true
    }

    /// Takes the key back: the append is answered.
    pub(super) fn release(&mut self, append: &Append) {
        let Some(name) = append.key_name() else { return };
        let Some(publish) = self.0.get_mut(&name) else {
            return;
        };
        publish.sent -= 1;
        if publish.sent == 0 {
            self.0.remove(&name);
        }
    }
}

impl Append {
    pub(super) fn key_name(&self) -> Option<KeyName> {
        let idempotency = self.idempotency.as_ref()?;
        Some((self.workspace_id, idempotency.key.clone()))
    }
}

/// Those of the keys that are stored and have not expired at `now`.
pub(super) async fn find<C: ConnectionTrait>(
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

impl Batch {
    /// The keys of its appends.
    pub(super) fn key_names(&self) -> Vec<KeyName> {
        self.appends
            .iter()
            .filter_map(|staged| staged.append.key_name())
            .collect()
    }

    /// Stores the keys of the appends with their events. One that has expired is replaced.
    pub(super) async fn write_keys(
        &self,
        transaction: &DatabaseTransaction,
        now: Timestamp,
    ) -> Result<(), DbErr> {
        let rows: Vec<[Value; 5]> = self
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
pub(super) async fn delete_expired<C: ConnectionTrait>(connection: &C, now: Timestamp) -> Result<u64, DbErr> {
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
