//! Limits per installation, idempotency keys, the last time the engine was seen alive, and indexes that
//! serve a lane from a long backlog without sorting or scanning it.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

use crate::half_done;

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let (uuid, bytes, without_rowid) = match manager.get_database_backend() {
            DbBackend::Sqlite => ("BLOB", "BLOB", " WITHOUT ROWID"),
            _ => ("UUID", "BYTEA", ""),
        };
        for statement in STATEMENTS {
            let sql = statement
                .replace("{uuid}", uuid)
                .replace("{bytes}", bytes)
                .replace("{without_rowid}", without_rowid);
            half_done::execute(manager.get_connection(), &sql).await?;
        }
        Ok(())
    }

    /// On SQLite, too: a kill leaves all of it or nothing.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

const STATEMENTS: &[&str] = &[
    "ALTER TABLE ext_installation ADD COLUMN ordered BOOLEAN NOT NULL DEFAULT FALSE",
    "ALTER TABLE ext_installation ADD COLUMN rate_limit INTEGER",
    "ALTER TABLE ext_installation ADD COLUMN held_since BIGINT",
    "CREATE TABLE publish_idempotency_key (
         workspace_id {uuid} NOT NULL,
         key TEXT NOT NULL,
         body_sha256 {bytes} NOT NULL,
         event_ids {bytes} NOT NULL,
         created_at BIGINT NOT NULL,
         PRIMARY KEY (workspace_id, key)
     ){without_rowid}",
    "CREATE INDEX publish_idempotency_key_age ON publish_idempotency_key (created_at)",
    "CREATE TABLE engine_clock (
         id INTEGER NOT NULL,
         last_seen_at BIGINT NOT NULL,
         PRIMARY KEY (id)
     )",
    // In the order in which retries are read: a page of a million is a walk along the index.
    "DROP INDEX ext_delivery_retry_due",
    "CREATE INDEX ext_delivery_retry_due ON ext_delivery_retry (installation_id, next_attempt_at, seq)",
    "CREATE INDEX ext_delivery_retry_place ON ext_delivery_retry (installation_id, seq)",
    "CREATE INDEX dead_letter_event_place ON dead_letter_event (installation_id, seq)",
    // Installations that are done with cost nothing at a start.
    "CREATE INDEX ext_installation_open ON ext_installation (workspace_id, id) WHERE NOT closed",
    "DROP INDEX ext_event_subscription_installation",
    "CREATE INDEX ext_event_subscription_installation ON ext_event_subscription (installation_id, until_seq)",
    "CREATE INDEX ext_delivery_attempt_installation ON ext_delivery_attempt (installation_id, attempted_at)",
];
