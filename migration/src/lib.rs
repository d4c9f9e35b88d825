//! SeaORM migrations: run at every start, safe to run again.
//!
//! Each sets `use_transaction`: SeaORM then runs it and records it in `seaql_migrations` in one transaction, on SQLite
//! as well, so that a process that is killed leaves all of a migration or nothing. What takes longer than one
//! transaction may is done after the migration, in pieces: [`moving`].

pub use sea_orm_migration::prelude::*;

mod half_done;
mod m20261123_000001_schema;
mod m20261124_000002_under_fire;
mod m20261124_000003_handlers;
mod m20261124_000004_causes;
mod m20261124_000005_chat;
mod m20261125_000006_attempts;
mod m20261125_000007_last_outcomes;
mod m20261127_000008_master_key_check;
mod m20261127_000009_current_spans;
mod m20261128_000010_log_layout;
mod m20261128_000011_due;
mod m20261128_000013_deletions;
pub mod moving;

/// All migrations, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_000001_schema::Migration),
            Box::new(m20261124_000002_under_fire::Migration),
            Box::new(m20261124_000003_handlers::Migration),
            Box::new(m20261124_000004_causes::Migration),
            Box::new(m20261124_000005_chat::Migration),
            Box::new(m20261125_000006_attempts::Migration),
            Box::new(m20261125_000007_last_outcomes::Migration),
            Box::new(m20261127_000008_master_key_check::Migration),
            Box::new(m20261127_000009_current_spans::Migration),
            Box::new(m20261128_000010_log_layout::Migration),
            Box::new(m20261128_000011_due::Migration),
            Box::new(m20261128_000013_deletions::Migration),
        ]
    }
}
