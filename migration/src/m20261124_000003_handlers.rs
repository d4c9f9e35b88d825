//! Deliveries are those of a handler: retries, dead letters and attempts name it. External services have none,
//! which is an empty name.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // A row that is waiting for its retry must not be lost half way.
        let rebuild = match manager.get_database_backend() {
            DbBackend::Sqlite => REBUILD_ON_SQLITE,
            _ => REBUILD_ON_POSTGRES,
        };
        for statement in rebuild.iter().chain(STATEMENTS) {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    /// On SQLite, too: a table is rebuilt.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// SQLite cannot change a primary key. The indexes are as the migration before has left them.
const REBUILD_ON_SQLITE: &[&str] = &[
    "CREATE TABLE ext_delivery_retry_rebuilt (
         installation_id BLOB NOT NULL,
         kind TEXT NOT NULL,
         event_id BLOB NOT NULL,
         handler TEXT NOT NULL DEFAULT '',
         workspace_id BLOB NOT NULL,
         seq BIGINT NOT NULL,
         attempts INTEGER NOT NULL,
         next_attempt_at BIGINT NOT NULL,
         last_status INTEGER,
         last_error TEXT,
         dead_letter_id BLOB,
         PRIMARY KEY (installation_id, kind, event_id, handler)
     ) WITHOUT ROWID",
    "INSERT INTO ext_delivery_retry_rebuilt (installation_id, kind, event_id, workspace_id, seq, attempts, \
     next_attempt_at, last_status, last_error, dead_letter_id) SELECT installation_id, kind, event_id, \
     workspace_id, seq, attempts, next_attempt_at, last_status, last_error, dead_letter_id FROM ext_delivery_retry",
    "DROP TABLE ext_delivery_retry",
    "ALTER TABLE ext_delivery_retry_rebuilt RENAME TO ext_delivery_retry",
    "CREATE INDEX ext_delivery_retry_next ON ext_delivery_retry (next_attempt_at)",
    "CREATE INDEX ext_delivery_retry_event ON ext_delivery_retry (event_id)",
    "CREATE INDEX ext_delivery_retry_due ON ext_delivery_retry (installation_id, next_attempt_at, seq)",
    "CREATE INDEX ext_delivery_retry_place ON ext_delivery_retry (installation_id, seq)",
];

const REBUILD_ON_POSTGRES: &[&str] = &[
    "ALTER TABLE ext_delivery_retry ADD COLUMN handler TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE ext_delivery_retry DROP CONSTRAINT ext_delivery_retry_pkey",
    "ALTER TABLE ext_delivery_retry ADD PRIMARY KEY (installation_id, kind, event_id, handler)",
];

const STATEMENTS: &[&str] = &[
    "ALTER TABLE dead_letter_event ADD COLUMN handler TEXT NOT NULL DEFAULT ''",
    "DROP INDEX dead_letter_event_delivery",
    "CREATE UNIQUE INDEX dead_letter_event_delivery ON dead_letter_event (installation_id, event_id, handler)",
    "ALTER TABLE ext_delivery_attempt ADD COLUMN handler TEXT NOT NULL DEFAULT ''",
    // Whether the code of an in-process extension is in the server that started last.
    "ALTER TABLE ext_installation ADD COLUMN available BOOLEAN NOT NULL DEFAULT TRUE",
    "CREATE INDEX ext_installation_in_process ON ext_installation (key) \
     WHERE delivery_type = 'IN_PROCESS' AND uninstalled_at IS NULL",
];
