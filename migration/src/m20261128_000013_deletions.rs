//! A workspace that is deleted has a mark until all of its rows are gone, an event whose payload is erased one that
//! says how much was erased.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let (uuid, without_rowid) = match manager.get_database_backend() {
            DbBackend::Sqlite => ("BLOB", " WITHOUT ROWID"),
            _ => ("UUID", ""),
        };
        for statement in UP {
            let sql = statement
                .replace("{uuid}", uuid)
                .replace("{without_rowid}", without_rowid);
            manager.get_connection().execute_unprepared(&sql).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in DOWN {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    /// On SQLite, too: a kill leaves all of it or nothing.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

const UP: &[&str] = &[
    "CREATE TABLE workspace_deletion (
         workspace_id {uuid} NOT NULL,
         deleted_at BIGINT NOT NULL,
         deleted_by {uuid} NOT NULL,
         PRIMARY KEY (workspace_id)
     ){without_rowid}",
    // What was erased of an event, by its position, so that it goes with the log.
    "CREATE TABLE event_erasure (
         workspace_id {uuid} NOT NULL,
         seq BIGINT NOT NULL,
         event_id {uuid} NOT NULL,
         erased_at BIGINT NOT NULL,
         erased_by {uuid} NOT NULL,
         dead_letters BIGINT NOT NULL DEFAULT 0,
         attempts BIGINT NOT NULL DEFAULT 0,
         retries BIGINT NOT NULL DEFAULT 0,
         chat_messages BIGINT NOT NULL DEFAULT 0,
         finished BOOLEAN NOT NULL DEFAULT FALSE,
         PRIMARY KEY (workspace_id, seq)
     ){without_rowid}",
    // The other tables have an index by workspace, or by installation or event.
    "CREATE INDEX pruned_derived_event_workspace ON pruned_derived_event (workspace_id, id)",
];

const DOWN: &[&str] = &[
    "DROP INDEX pruned_derived_event_workspace",
    "DROP TABLE event_erasure",
    "DROP TABLE workspace_deletion",
];
