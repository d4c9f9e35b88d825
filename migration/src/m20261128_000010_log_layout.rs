//! The log gets the layout that writes least, and a place for what was pruned.
//!
//! On SQLite a row of the log was kept in the tree of its key, at the place of its workspace: events of a thousand
//! workspaces changed a thousand pages, each of them with payloads. Now rows are appended in the order in which they
//! are written, and only the entries of the index by key are spread. On PostgreSQL that has been so from the beginning.
//!
//! A log with rows is moved after this migration, in pieces: see [`crate::moving`].

use sea_orm_migration::{
    prelude::*,
    sea_orm::{DbBackend, Statement},
};

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        let backend = manager.get_database_backend();
        for statement in TABLES {
            let statement = match backend {
                DbBackend::Sqlite => statement
                    .replace("{uuid}", "BLOB")
                    .replace("{without_rowid}", " WITHOUT ROWID"),
                _ => statement.replace("{uuid}", "UUID").replace("{without_rowid}", ""),
            };
            connection.execute_unprepared(&statement).await?;
        }
        if backend != DbBackend::Sqlite {
            for statement in HOT_TABLES {
                connection.execute_unprepared(statement).await?;
            }
            return Ok(());
        }
        let any = Statement::from_string(backend, "SELECT 1 FROM platform_event LIMIT 1");
        let layout = match connection.query_one_raw(any).await? {
            None => [&["DROP TABLE platform_event", ROWS, BY_PLACE][..], &[BY_ID]].concat(),
            Some(_) => vec![
                "DROP INDEX platform_event_id",
                "ALTER TABLE platform_event RENAME TO platform_event_unmoved",
                ROWS,
                BY_PLACE,
            ],
        };
        for statement in layout {
            connection.execute_unprepared(statement).await?;
        }
        Ok(())
    }

    /// The former layout of SQLite, for a log that is moved completely. What was pruned stays pruned.
    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        if manager.get_database_backend() == DbBackend::Sqlite {
            for statement in WAY_BACK {
                connection.execute_unprepared(statement).await?;
            }
        } else {
            for statement in COOL_TABLES {
                connection.execute_unprepared(statement).await?;
            }
        }
        for statement in REMOVALS {
            connection.execute_unprepared(statement).await?;
        }
        Ok(())
    }

    /// On SQLite, too: a kill leaves all of it or nothing.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

const TABLES: &[&str] = &[
    // How far the log of a workspace is pruned. A workspace without a row has its whole log. The head of a log without
    // events is here, because nothing else says it.
    "CREATE TABLE workspace_log (
         workspace_id {uuid} NOT NULL,
         pruned_through BIGINT NOT NULL,
         PRIMARY KEY (workspace_id)
     ){without_rowid}",
    // The ids of events that handlers have published and that are pruned, for as long as a handler may be run again.
    "CREATE TABLE pruned_derived_event (
         id {uuid} NOT NULL,
         workspace_id {uuid} NOT NULL,
         seq BIGINT NOT NULL,
         occurred_at BIGINT NOT NULL,
         PRIMARY KEY (id)
     ){without_rowid}",
    "CREATE INDEX pruned_derived_event_age ON pruned_derived_event (occurred_at)",
    // Nothing is pruned before this time; none until a version that prunes has started.
    "ALTER TABLE engine_clock ADD COLUMN prune_from BIGINT",
];

const REMOVALS: &[&str] = &[
    "DROP TABLE workspace_log",
    "DROP TABLE pruned_derived_event",
    "ALTER TABLE engine_clock DROP COLUMN prune_from",
];

/// The payload is last, so that the other columns are read without it.
const ROWS: &str = "CREATE TABLE platform_event (
         workspace_id BLOB NOT NULL,
         seq BIGINT NOT NULL,
         id BLOB NOT NULL,
         event_key TEXT NOT NULL,
         occurred_at BIGINT NOT NULL,
         actor TEXT,
         schema_version TEXT,
         traceparent TEXT,
         causation_id BLOB,
         correlation_id BLOB,
         causation_depth INTEGER NOT NULL DEFAULT 0,
         payload TEXT NOT NULL
     )";
const BY_PLACE: &str = "CREATE UNIQUE INDEX platform_event_place ON platform_event (workspace_id, seq)";
pub(crate) const BY_ID: &str = "CREATE UNIQUE INDEX platform_event_id ON platform_event (id)";

/// Rows that change with nearly every batch. Half of each page stays free, so that a changed row finds room beside the
/// former one and no index is written; vacuum visits them after a few hundred changes instead of a fifth of the table.
const HOT_TABLES: &[&str] = &[
    "ALTER TABLE ext_delivery_cursor SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, \
     autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0)",
    "ALTER TABLE ext_delivery_retry SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, \
     autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0)",
    "ALTER TABLE ext_delivery_done SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500, \
     autovacuum_vacuum_cost_delay = 0)",
    "ALTER TABLE engine_clock SET (fillfactor = 10)",
];
const COOL_TABLES: &[&str] = &[
    "ALTER TABLE ext_delivery_cursor RESET (fillfactor, autovacuum_vacuum_scale_factor, \
     autovacuum_vacuum_threshold, autovacuum_vacuum_cost_delay)",
    "ALTER TABLE ext_delivery_retry RESET (fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, \
     autovacuum_vacuum_cost_delay)",
    "ALTER TABLE ext_delivery_done RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, \
     autovacuum_vacuum_cost_delay)",
    "ALTER TABLE engine_clock RESET (fillfactor)",
];

const WAY_BACK: &[&str] = &[
    "ALTER TABLE platform_event RENAME TO platform_event_by_rowid",
    "CREATE TABLE platform_event (
         workspace_id BLOB NOT NULL,
         seq BIGINT NOT NULL,
         id BLOB NOT NULL,
         event_key TEXT NOT NULL,
         schema_version TEXT,
         actor TEXT,
         payload TEXT NOT NULL,
         occurred_at BIGINT NOT NULL,
         traceparent TEXT,
         causation_id BLOB,
         correlation_id BLOB,
         causation_depth INTEGER NOT NULL DEFAULT 0,
         PRIMARY KEY (workspace_id, seq)
     ) WITHOUT ROWID",
    "INSERT INTO platform_event (workspace_id, seq, id, event_key, schema_version, actor, payload, occurred_at, \
     traceparent, causation_id, correlation_id, causation_depth) SELECT workspace_id, seq, id, event_key, \
     schema_version, actor, payload, occurred_at, traceparent, causation_id, correlation_id, causation_depth \
     FROM platform_event_by_rowid ORDER BY workspace_id, seq",
    "DROP TABLE platform_event_by_rowid",
    "CREATE UNIQUE INDEX platform_event_id ON platform_event (id)",
];
