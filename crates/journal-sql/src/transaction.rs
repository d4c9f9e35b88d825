//! One transaction on the writer connection.

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};

use super::fault::is_fault_of_the_data;
use pointsman_journal::{
    ChangeError,
    storage::{JobError, Outcome},
};

/// The reason in an error of a transaction's work that lies in the work itself; none where the connection
/// is in doubt.
pub(super) trait WorkError: Sized + From<DbErr> {
    fn in_the_work(self) -> Option<Self>;

    /// Whether somebody else still uses the connection, so that nothing can be done on it any more.
    fn has_the_connection(&self) -> bool;
}

impl WorkError for DbErr {
    fn in_the_work(self) -> Option<Self> {
        is_fault_of_the_data(&self).then_some(self)
    }

    fn has_the_connection(&self) -> bool {
        false
    }
}

impl WorkError for JobError {
    fn in_the_work(self) -> Option<Self> {
        match self {
            Self::Database(error) if !is_fault_of_the_data(&error) => None,
            other => Some(other),
        }
    }

    fn has_the_connection(&self) -> bool {
        false
    }
}

impl WorkError for ChangeError {
    fn in_the_work(self) -> Option<Self> {
        match self {
            Self::Database(error) if !is_fault_of_the_data(&error) => None,
            other => Some(other),
        }
    }

    fn has_the_connection(&self) -> bool {
        false
    }
}

/// Runs `work` between BEGIN and COMMIT. The caller bounds it by a time-out.
pub(super) async fn in_transaction<T, E: WorkError>(
    connection: &DatabaseConnection,
    work: impl AsyncFnOnce(&DatabaseTransaction) -> Result<T, E>,
) -> Outcome<T, E> {
    let options = TransactionOptions {
        sqlite_transaction_mode: (connection.get_database_backend() == DbBackend::Sqlite)
            .then_some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let transaction = match connection.begin_with_options(options).await {
        Ok(transaction) => transaction,
        Err(error) => {
            log::error!(step = "begin", error:%; "a transaction failed");
            return Outcome::NotBegun;
        }
    };
    match work(&transaction).await {
        Ok(value) => match transaction.commit().await {
            Ok(()) => Outcome::Committed(value),
            // A constraint that is checked only now: both engines have committed nothing then.
            Err(error) if is_fault_of_the_data(&error) => Outcome::RolledBack(error.into()),
            Err(error) => unknown("commit", &error),
        },
        Err(error) if error.has_the_connection() => {
            log::error!("the work of an effect does not come back: its connection is thrown away");
            tokio::spawn(leave(transaction));
            Outcome::Unknown
        }
        Err(error) => match (error.in_the_work(), transaction.rollback().await) {
            (Some(error), Ok(())) => Outcome::RolledBack(error),
            (_, Err(error)) => unknown("rollback", &error),
            (None, Ok(())) => Outcome::Unknown,
        },
    }
}

/// Gives back the locks, where the connection can be had: nobody waits for it, and it may be dropped only where it
/// is not in use, or else panics.
pub(super) async fn leave(transaction: DatabaseTransaction) {
    if let Err(error) = transaction.execute_unprepared("ROLLBACK").await {
        log::warn!(error:%; "a transaction that was left behind cannot be rolled back");
    }
}

fn unknown<T, E>(step: &str, error: &DbErr) -> Outcome<T, E> {
    log::error!(step, error:%; "a transaction failed");
    Outcome::Unknown
}
