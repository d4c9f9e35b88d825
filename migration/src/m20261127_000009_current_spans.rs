//! The current span of each subscription has a mark and an index, so that a change of an admin reads no others. Spans
//! that cover nothing and spans that continue each other become one.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        let uuid = match backend {
            DbBackend::Sqlite => "BLOB",
            _ => "UUID",
        };
        let connection = manager.get_connection();
        // A copy without the spans that go is faster than deleting them, index by index.
        connection
            .execute_unprepared(&TABLE.replace("{uuid}", uuid))
            .await?;
        connection.execute_unprepared(MERGE).await?;
        for statement in REPLACE {
            connection.execute_unprepared(statement).await?;
        }
        if backend == DbBackend::Postgres {
            connection.execute_unprepared(RENAME_KEY).await?;
        }
        for statement in INDEXES {
            connection.execute_unprepared(statement).await?;
        }
        Ok(())
    }

    /// What was merged stays merged.
    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in WAY_BACK {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    /// On SQLite, too: a table is replaced.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

const TABLE: &str = "CREATE TABLE ext_event_subscription_merged (
         id {uuid} NOT NULL,
         subscription_id {uuid} NOT NULL,
         installation_id {uuid} NOT NULL,
         workspace_id {uuid} NOT NULL,
         event_key TEXT NOT NULL,
         from_seq BIGINT NOT NULL,
         until_seq BIGINT,
         closed_by TEXT,
         is_current BOOLEAN NOT NULL,
         created_at BIGINT NOT NULL,
         PRIMARY KEY (id)
     )";

/// A span that was closed by `DISABLED` where the next of its subscription begins is one with it: of such a run, the
/// first row and the end of the last one are kept. After that, a span that covers nothing goes if an earlier one of its
/// subscription says already that it was disabled; the first span stays, because before it nothing was subscribed. The
/// time at which a subscription was made is that of its first span.
const MERGE: &str = "INSERT INTO ext_event_subscription_merged
         (id, subscription_id, installation_id, workspace_id, event_key, from_seq, until_seq, closed_by, is_current,
          created_at)
     WITH neighbours AS (
         SELECT id, subscription_id, installation_id, workspace_id, event_key, from_seq, until_seq, closed_by,
             FIRST_VALUE(created_at) OVER spans AS created_at,
             LAG(closed_by) OVER spans AS closed_before, LAG(until_seq) OVER spans AS until_before,
             LEAD(from_seq) OVER spans AS from_after
         FROM ext_event_subscription
         WINDOW spans AS (PARTITION BY installation_id, subscription_id ORDER BY from_seq, id)
     ), compared AS (
         SELECT n.*, CASE WHEN closed_before = 'DISABLED' AND until_before = from_seq THEN 0 ELSE 1 END AS begins,
             CASE WHEN closed_by = 'DISABLED' AND until_seq = from_after THEN 0 ELSE 1 END AS ends
         FROM neighbours n
     ), runs AS (
         SELECT id, subscription_id, installation_id, workspace_id, event_key, from_seq, created_at,
             closed_before, until_before, begins,
             CASE ends WHEN 1 THEN until_seq ELSE LEAD(until_seq) OVER spans END AS until_seq,
             CASE ends WHEN 1 THEN closed_by ELSE LEAD(closed_by) OVER spans END AS closed_by
         FROM compared WHERE begins = 1 OR ends = 1
         WINDOW spans AS (PARTITION BY installation_id, subscription_id ORDER BY from_seq, id)
     ), kept AS (
         SELECT r.*, LEAD(from_seq) OVER (PARTITION BY installation_id, subscription_id ORDER BY from_seq, id) AS next
         FROM runs r
         WHERE begins = 1 AND NOT (COALESCE(closed_by = 'DISABLED' AND until_seq = from_seq, FALSE)
             AND COALESCE(closed_before = 'DISABLED' AND until_before < from_seq, FALSE))
     )
     SELECT id, subscription_id, installation_id, workspace_id, event_key, from_seq, until_seq, closed_by,
         next IS NULL AND COALESCE(closed_by = 'DISABLED', until_seq IS NULL), created_at
     FROM kept";

const REPLACE: &[&str] = &[
    "DROP TABLE ext_event_subscription",
    "ALTER TABLE ext_event_subscription_merged RENAME TO ext_event_subscription",
];

const RENAME_KEY: &str =
    "ALTER INDEX ext_event_subscription_merged_pkey RENAME TO ext_event_subscription_pkey";

const INDEXES: &[&str] = &[
    // Where spans end: those that a lane may still need are open or end beyond its cursor.
    "CREATE INDEX ext_event_subscription_installation ON ext_event_subscription (installation_id, until_seq)",
    // What admins change, and whether there has ever been a subscription to a pattern.
    "CREATE INDEX ext_event_subscription_current ON ext_event_subscription (installation_id, is_current, event_key)",
    // The span of a subscription that decides at a position is the latest that begins before it.
    "CREATE INDEX ext_event_subscription_place ON ext_event_subscription \
     (workspace_id, subscription_id, from_seq, id)",
];

const WAY_BACK: &[&str] = &[
    "DROP INDEX ext_event_subscription_place",
    "DROP INDEX ext_event_subscription_current",
    "ALTER TABLE ext_event_subscription DROP COLUMN is_current",
    "CREATE INDEX ext_event_subscription_workspace ON ext_event_subscription (workspace_id)",
];
