//! A value by which a start recognises the master key that the database was used with.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let bytes = match manager.get_database_backend() {
            DbBackend::Sqlite => "BLOB",
            _ => "BYTEA",
        };
        let sql = TABLE.replace("{bytes}", bytes);
        manager.get_connection().execute_unprepared(&sql).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "DROP TABLE master_key_check";
        manager.get_connection().execute_unprepared(sql).await.map(drop)
    }

    /// On SQLite, too: a kill leaves all of it or nothing.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// One row, with the id 1. A database of an earlier version has none until a key was checked against its secrets.
const TABLE: &str = "CREATE TABLE master_key_check (
     id INTEGER NOT NULL,
     value {bytes} NOT NULL,
     PRIMARY KEY (id)
 )";
