//! The history of attempts is kept in the order in which it is asked for, by event: each row is written into two
//! B-trees instead of four.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
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

/// SQLite cannot change a primary key.
const REBUILD_ON_SQLITE: &[&str] = &[
    "CREATE TABLE ext_delivery_attempt_rebuilt (
         event_id BLOB NOT NULL,
         installation_id BLOB NOT NULL,
         id BLOB NOT NULL,
         workspace_id BLOB NOT NULL,
         handler TEXT NOT NULL DEFAULT '',
         kind TEXT NOT NULL,
         number INTEGER NOT NULL,
         outcome TEXT NOT NULL,
         http_status INTEGER,
         duration_ms BIGINT NOT NULL,
         error TEXT,
         response TEXT,
         attempted_at BIGINT NOT NULL,
         PRIMARY KEY (event_id, installation_id, id)
     ) WITHOUT ROWID",
    "INSERT INTO ext_delivery_attempt_rebuilt (event_id, installation_id, id, workspace_id, handler, kind, number, \
     outcome, http_status, duration_ms, error, response, attempted_at) SELECT event_id, installation_id, id, \
     workspace_id, handler, kind, number, outcome, http_status, duration_ms, error, response, attempted_at \
     FROM ext_delivery_attempt",
    "DROP TABLE ext_delivery_attempt",
    "ALTER TABLE ext_delivery_attempt_rebuilt RENAME TO ext_delivery_attempt",
];

const REBUILD_ON_POSTGRES: &[&str] = &[
    "DROP INDEX ext_delivery_attempt_event",
    "DROP INDEX ext_delivery_attempt_installation",
    "ALTER TABLE ext_delivery_attempt DROP CONSTRAINT ext_delivery_attempt_pkey",
    "ALTER TABLE ext_delivery_attempt ADD PRIMARY KEY (event_id, installation_id, id)",
];

/// Ids grow with the time: the newest attempts of an installation are its last.
const STATEMENTS: &[&str] =
    &["CREATE INDEX ext_delivery_attempt_installation ON ext_delivery_attempt (installation_id, id)"];
