//! The workspaces in which something is due have a small table with an index by time, so that the waker reads no
//! installations. The starts are counted, so that generations are new without a look at those that are stored.

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
        for statement in ["DROP TABLE engine_start", "DROP TABLE workspace_due"] {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    /// On SQLite, too: a table that is not filled would hide what is due.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

const UP: &[&str] = &[
    "CREATE TABLE workspace_due (
         workspace_id {uuid} NOT NULL,
         due_at BIGINT NOT NULL,
         PRIMARY KEY (workspace_id)
     ){without_rowid}",
    // Where something may be due. The first look of the waker finds out.
    "INSERT INTO workspace_due (workspace_id, due_at) SELECT DISTINCT workspace_id, 0 FROM ext_installation \
     WHERE NOT closed",
    "CREATE INDEX workspace_due_at ON workspace_due (due_at, workspace_id)",
    // One row, with the id 1.
    "CREATE TABLE engine_start (
         id INTEGER NOT NULL,
         starts BIGINT NOT NULL,
         PRIMARY KEY (id)
     )",
    // The generations of a start begin at its number times 2^36.
    "INSERT INTO engine_start (id, starts) SELECT 1, COALESCE(MAX(generation), 0) >> 36 FROM ext_delivery_cursor",
];
