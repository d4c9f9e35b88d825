//! What led to an event, and which deliveries were settled by an effect.

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
        for statement in STATEMENTS {
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

const STATEMENTS: &[&str] = &[
    "ALTER TABLE platform_event ADD COLUMN causation_id {uuid}",
    "ALTER TABLE platform_event ADD COLUMN correlation_id {uuid}",
    "ALTER TABLE platform_event ADD COLUMN causation_depth INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE dead_letter_event ADD COLUMN causation_id {uuid}",
    "ALTER TABLE dead_letter_event ADD COLUMN correlation_id {uuid}",
    "ALTER TABLE dead_letter_event ADD COLUMN causation_depth INTEGER NOT NULL DEFAULT 0",
    // One row for each delivery that an effect has settled, until the cursor has passed it.
    "CREATE TABLE ext_delivery_done (
         installation_id {uuid} NOT NULL,
         kind TEXT NOT NULL,
         event_id {uuid} NOT NULL,
         handler TEXT NOT NULL,
         seq BIGINT NOT NULL,
         PRIMARY KEY (installation_id, kind, event_id, handler)
     ){without_rowid}",
    "CREATE INDEX ext_delivery_done_place ON ext_delivery_done (installation_id, seq)",
];
