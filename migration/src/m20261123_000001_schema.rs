//! The first schema.
//!
//! Written as SQL, because the two engines differ only in the name of the UUID type and in SQLite's
//! `WITHOUT ROWID`, which keeps a row in the tree of its primary key instead of in a second one.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

use crate::half_done;

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let (uuid, without_rowid) = match manager.get_database_backend() {
            DbBackend::Sqlite => ("BLOB", " WITHOUT ROWID"),
            _ => ("UUID", ""),
        };
        for statement in TABLES.iter().chain(INDEXES) {
            let sql = statement
                .replace("{uuid}", uuid)
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

const TABLES: &[&str] = &[
    "CREATE TABLE workspace (
         id {uuid} NOT NULL,
         name TEXT NOT NULL,
         created_at BIGINT NOT NULL,
         PRIMARY KEY (id)
     )",
    "CREATE TABLE platform_user (
         id {uuid} NOT NULL,
         email TEXT NOT NULL,
         password_hash TEXT NOT NULL,
         role TEXT NOT NULL,
         created_at BIGINT NOT NULL,
         PRIMARY KEY (id)
     )",
    "CREATE TABLE workspace_member (
         workspace_id {uuid} NOT NULL,
         user_id {uuid} NOT NULL,
         role TEXT NOT NULL,
         created_at BIGINT NOT NULL,
         PRIMARY KEY (workspace_id, user_id)
     ){without_rowid}",
    "CREATE TABLE user_session (
         id TEXT NOT NULL,
         user_id {uuid},
         state TEXT NOT NULL,
         created_at BIGINT NOT NULL,
         expires_at BIGINT NOT NULL,
         PRIMARY KEY (id)
     )",
    "CREATE TABLE platform_event (
         workspace_id {uuid} NOT NULL,
         seq BIGINT NOT NULL,
         id {uuid} NOT NULL,
         event_key TEXT NOT NULL,
         schema_version TEXT,
         actor TEXT,
         payload TEXT NOT NULL,
         occurred_at BIGINT NOT NULL,
         traceparent TEXT,
         PRIMARY KEY (workspace_id, seq)
     ){without_rowid}",
    "CREATE TABLE ext_installation (
         id {uuid} NOT NULL,
         workspace_id {uuid} NOT NULL,
         key TEXT NOT NULL,
         name TEXT NOT NULL,
         delivery_type TEXT NOT NULL,
         service_base_url TEXT,
         signing_secret TEXT NOT NULL,
         previous_secret TEXT,
         previous_secret_until BIGINT,
         headers TEXT NOT NULL,
         enabled BOOLEAN NOT NULL,
         paused BOOLEAN NOT NULL,
         concurrency INTEGER,
         revision BIGINT NOT NULL,
         installed_at BIGINT NOT NULL,
         installed_seq BIGINT NOT NULL,
         uninstalled_at BIGINT,
         uninstalled_seq BIGINT,
         closed BOOLEAN NOT NULL,
         PRIMARY KEY (id)
     )",
    "CREATE TABLE ext_event_subscription (
         id {uuid} NOT NULL,
         subscription_id {uuid} NOT NULL,
         installation_id {uuid} NOT NULL,
         workspace_id {uuid} NOT NULL,
         event_key TEXT NOT NULL,
         from_seq BIGINT NOT NULL,
         until_seq BIGINT,
         closed_by TEXT,
         created_at BIGINT NOT NULL,
         PRIMARY KEY (id)
     )",
    "CREATE TABLE ext_delivery_cursor (
         installation_id {uuid} NOT NULL,
         workspace_id {uuid} NOT NULL,
         settled_seq BIGINT NOT NULL,
         generation BIGINT NOT NULL,
         PRIMARY KEY (installation_id)
     )",
    "CREATE TABLE ext_delivery_retry (
         installation_id {uuid} NOT NULL,
         kind TEXT NOT NULL,
         event_id {uuid} NOT NULL,
         workspace_id {uuid} NOT NULL,
         seq BIGINT NOT NULL,
         attempts INTEGER NOT NULL,
         next_attempt_at BIGINT NOT NULL,
         last_status INTEGER,
         last_error TEXT,
         dead_letter_id {uuid},
         PRIMARY KEY (installation_id, kind, event_id)
     ){without_rowid}",
    "CREATE TABLE ext_delivery_attempt (
         id {uuid} NOT NULL,
         workspace_id {uuid} NOT NULL,
         installation_id {uuid} NOT NULL,
         event_id {uuid} NOT NULL,
         kind TEXT NOT NULL,
         number INTEGER NOT NULL,
         outcome TEXT NOT NULL,
         http_status INTEGER,
         duration_ms BIGINT NOT NULL,
         error TEXT,
         response TEXT,
         attempted_at BIGINT NOT NULL,
         PRIMARY KEY (id)
     )",
    "CREATE TABLE dead_letter_event (
         id {uuid} NOT NULL,
         workspace_id {uuid} NOT NULL,
         installation_id {uuid} NOT NULL,
         extension_key TEXT NOT NULL,
         event_id {uuid} NOT NULL,
         seq BIGINT NOT NULL,
         event_key TEXT NOT NULL,
         schema_version TEXT,
         actor TEXT,
         payload TEXT NOT NULL,
         occurred_at BIGINT NOT NULL,
         traceparent TEXT,
         reason TEXT NOT NULL,
         attempts INTEGER NOT NULL,
         last_status INTEGER,
         last_error TEXT,
         failed_at BIGINT NOT NULL,
         status TEXT NOT NULL,
         replayed_at BIGINT,
         PRIMARY KEY (id)
     )",
];

const INDEXES: &[&str] = &[
    "CREATE UNIQUE INDEX platform_user_email ON platform_user (email)",
    "CREATE INDEX workspace_member_user ON workspace_member (user_id)",
    "CREATE INDEX user_session_expiry ON user_session (expires_at)",
    "CREATE INDEX user_session_user ON user_session (user_id)",
    "CREATE UNIQUE INDEX platform_event_id ON platform_event (id)",
    "CREATE UNIQUE INDEX ext_installation_key ON ext_installation (workspace_id, key) WHERE uninstalled_at IS NULL",
    "CREATE INDEX ext_installation_workspace ON ext_installation (workspace_id, id)",
    "CREATE INDEX ext_event_subscription_installation ON ext_event_subscription (installation_id)",
    "CREATE INDEX ext_event_subscription_workspace ON ext_event_subscription (workspace_id)",
    "CREATE INDEX ext_delivery_cursor_workspace ON ext_delivery_cursor (workspace_id)",
    "CREATE INDEX ext_delivery_retry_due ON ext_delivery_retry (installation_id, next_attempt_at)",
    "CREATE INDEX ext_delivery_retry_next ON ext_delivery_retry (next_attempt_at)",
    "CREATE INDEX ext_delivery_retry_event ON ext_delivery_retry (event_id)",
    "CREATE INDEX ext_delivery_attempt_event ON ext_delivery_attempt (event_id, installation_id)",
    "CREATE UNIQUE INDEX dead_letter_event_delivery ON dead_letter_event (installation_id, event_id)",
    "CREATE INDEX dead_letter_event_workspace ON dead_letter_event (workspace_id, failed_at, id)",
    "CREATE INDEX dead_letter_event_time ON dead_letter_event (failed_at, id)",
    "CREATE INDEX dead_letter_event_event ON dead_letter_event (event_id)",
];
