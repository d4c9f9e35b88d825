//! Writes the frequent statements: batches of events and cursors, and the history of attempts. They bypass SeaORM,
//! which would copy each value, and go to the engines' drivers. They take as few round trips to the database as
//! possible: each is two switches of threads or processes, and every publisher of the batch waits for it. All other
//! statements go through SeaORM.

mod postgres;
mod rows;
mod sqlite;

use sea_orm::{
    DatabaseConnection, DbBackend, DbErr,
    sqlx::{Postgres, Sqlite, pool::PoolConnection},
};
use tokio::sync::Mutex;

pub(crate) use self::rows::Writing;
use self::{
    rows::{StatementError, wrapped},
    sqlite::StatementTexts,
};
use super::{
    fault::is_fault_of_the_data,
    write_ahead_log::log_size::{CheckpointMode, LogSize},
};
use pointsman_journal::{AttemptRecord, changes::Changes, storage::Outcome};

/// The writer connection. It stays checked out of its pool of one until a statement has to go through SeaORM.
pub(super) struct BatchDriver(Mutex<Option<Driver>>);

enum Driver {
    Sqlite(PoolConnection<Sqlite>, StatementTexts),
    Postgres(PoolConnection<Postgres>),
}

impl BatchDriver {
    pub(super) fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Returns the connection to its pool, so that SeaORM can use it.
    pub(super) async fn give_back_connection(&self) {
        self.0.lock().await.take();
    }

    /// Writes plain changes (events and cursors only) in one transaction.
    pub(super) async fn write(&self, pool: &DatabaseConnection, changes: &Changes<'_>) -> Outcome<(), DbErr> {
        let (events, cursors) = (&changes.events, &changes.cursors);
        self.run(pool, async |driver| match driver {
            Driver::Sqlite(connection, texts) => {
                sqlite::write_batch(connection, texts, events, cursors).await
            }
            Driver::Postgres(connection) => postgres::write_batch(connection, events, cursors).await,
        })
        .await
    }

    /// Writes rows of the history. The commit does not wait for the disk: a crash of the machine may lose the rows, and
    /// nothing depends on them.
    pub(super) async fn write_attempts(
        &self,
        pool: &DatabaseConnection,
        rows: &[AttemptRecord],
        writing: Writing,
    ) -> Outcome<(), DbErr> {
        self.run(pool, async |driver| match driver {
            Driver::Sqlite(connection, texts) => {
                sqlite::write_attempts(connection, texts, rows, writing).await
            }
            Driver::Postgres(connection) => postgres::write_attempts(connection, rows, writing).await,
        })
        .await
    }

    /// Runs a checkpoint of SQLite's write-ahead log in this mode.
    pub(super) async fn checkpoint(
        &self,
        pool: &DatabaseConnection,
        mode: CheckpointMode,
    ) -> Result<LogSize, DbErr> {
        let mut held = self.0.lock().await;
        let driver = match &mut *held {
            Some(driver) => driver,
            none => none.insert(take(pool).await?),
        };
        match driver {
            Driver::Sqlite(connection, _) => sqlite::checkpoint(connection, mode).await,
            Driver::Postgres(_) => Err(DbErr::Custom(
                "PostgreSQL manages its own write-ahead log".to_owned(),
            )),
        }
    }

    async fn run(
        &self,
        pool: &DatabaseConnection,
        write: impl AsyncFnOnce(&mut Driver) -> Result<(), StatementError>,
    ) -> Outcome<(), DbErr> {
        let mut held = self.0.lock().await;
        let driver = match &mut *held {
            Some(driver) => driver,
            none => match take(pool).await {
                Ok(driver) => none.insert(driver),
                Err(error) => {
                    log::error!(error:%; "a transaction failed");
                    return Outcome::NotBegun;
                }
            },
        };
        match write(driver).await {
            Ok(()) => Outcome::Committed(()),
            Err(StatementError::RolledBack(error)) if is_fault_of_the_data(&error) => {
                Outcome::RolledBack(error)
            }
            Err(StatementError::RolledBack(error) | StatementError::Unknown(error)) => unknown(&error),
        }
    }
}

async fn take(pool: &DatabaseConnection) -> Result<Driver, DbErr> {
    Ok(match pool.get_database_backend() {
        DbBackend::Sqlite => {
            let connection = pool.get_sqlite_connection_pool().acquire().await;
            Driver::Sqlite(connection.map_err(wrapped)?, StatementTexts::default())
        }
        _ => {
            let connection = pool.get_postgres_connection_pool().acquire().await;
            Driver::Postgres(connection.map_err(wrapped)?)
        }
    })
}

fn unknown(error: &DbErr) -> Outcome<(), DbErr> {
    log::error!(error:%; "a transaction failed");
    Outcome::Unknown
}
