//! When an installation last took an event and last failed to stands beside its cursor, which is written with every
//! settlement anyway. The history's index by installation, which served that one question, cost a page for each
//! installation of a batch.

use sea_orm_migration::prelude::*;

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        for (column, which) in OUTCOMES {
            for statement in [ADD, CARRY_OVER] {
                let sql = statement.replace("{column}", column).replace("{which}", which);
                connection.execute_unprepared(&sql).await?;
            }
        }
        connection.execute_unprepared(DROP_INDEX).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        connection.execute_unprepared(CREATE_INDEX).await?;
        for (column, _) in OUTCOMES {
            let sql = DROP.replace("{column}", column);
            connection.execute_unprepared(&sql).await?;
        }
        Ok(())
    }

    /// On SQLite, too: without the index the times could not be carried over once more.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// The columns, and which outcomes they are of.
const OUTCOMES: &[(&str, &str)] = &[
    ("last_success_at", "= 'DELIVERED'"),
    ("last_failure_at", "<> 'DELIVERED'"),
];

const ADD: &str = "ALTER TABLE ext_delivery_cursor ADD COLUMN {column} BIGINT";
const DROP: &str = "ALTER TABLE ext_delivery_cursor DROP COLUMN {column}";

/// Taken from the newest attempts, as many as were searched before this migration.
const CARRY_OVER: &str = "UPDATE ext_delivery_cursor SET {column} = (
     SELECT MAX(recent.attempted_at) FROM (
         SELECT outcome, attempted_at FROM ext_delivery_attempt
         WHERE ext_delivery_attempt.installation_id = ext_delivery_cursor.installation_id
         ORDER BY id DESC LIMIT 200
     ) AS recent WHERE recent.outcome {which}
 )";

const DROP_INDEX: &str = "DROP INDEX ext_delivery_attempt_installation";
const CREATE_INDEX: &str =
    "CREATE INDEX ext_delivery_attempt_installation ON ext_delivery_attempt (installation_id, id)";
