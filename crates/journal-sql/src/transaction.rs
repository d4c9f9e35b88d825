//! One transaction on the writer connection.

use std::{ops::Deref, sync::Arc};

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};

use super::fault::is_fault_of_the_data;
use pointsman_journal::{
    ChangeError,
    storage::{JobError, Outcome},
};
use pointsman_panics::{Caught, caught};

/// An error of the work that runs in a transaction.
pub(super) trait WorkError: Sized + From<DbErr> {
    /// The error, where the work itself is at fault. None where the connection is in doubt.
    fn in_the_work(self) -> Option<Self>;
}

impl WorkError for DbErr {
    fn in_the_work(self) -> Option<Self> {
        is_fault_of_the_data(&self).then_some(self)
    }
}

impl WorkError for JobError {
    fn in_the_work(self) -> Option<Self> {
        match self {
            Self::Database(error) if !is_fault_of_the_data(&error) => None,
            other => Some(other),
        }
    }
}

impl WorkError for ChangeError {
    fn in_the_work(self) -> Option<Self> {
        match self {
            Self::Database(error) if !is_fault_of_the_data(&error) => None,
            other => Some(other),
        }
    }
}

/// A transaction that was begun. Where the time-out of its caller passes, it is dropped.
///
/// A transaction of SeaORM panics when it is dropped while its connection is in use, at whatever step. Work can bring
/// that about: it may keep a nested transaction, and go on using it in a task of its own. Here such a panic is caught.
/// The connection must be thrown away then.
pub(super) struct Open(Contained<Arc<DatabaseTransaction>>);

impl Open {
    pub(super) fn new(transaction: DatabaseTransaction) -> Self {
        Self(Contained::new(Arc::new(transaction)))
    }

    /// Whether work that does not end has the transaction as well.
    pub(super) fn is_shared(&self) -> bool {
        Arc::strong_count(self) > 1
    }

    pub(super) async fn commit(self) -> Result<(), EndError> {
        self.end(DatabaseTransaction::commit).await
    }

    pub(super) async fn rollback(self) -> Result<(), EndError> {
        self.end(DatabaseTransaction::rollback).await
    }

    async fn end<F: Future<Output = Result<(), DbErr>>>(
        self,
        how: impl FnOnce(DatabaseTransaction) -> F,
    ) -> Result<(), EndError> {
        match Arc::try_unwrap(self.0.into_inner()) {
            // Where it fails, it drops the transaction by itself.
            Ok(transaction) => match Caught::new(how(transaction)).await {
                Ok(ended) => Ok(ended?),
                Err(panic) => Err(EndError::Panicked(panic)),
            },
            Err(in_use) => {
                log::error!("the work of an effect does not come back: its connection is thrown away");
                tokio::spawn(roll_back_later(in_use));
                Err(EndError::InUse)
            }
        }
    }
}

impl Deref for Open {
    type Target = Arc<DatabaseTransaction>;

    fn deref(&self) -> &Self::Target {
        self.0.get()
    }
}

/// Why a transaction is neither known to be committed nor known to be rolled back.
#[derive(Debug, thiserror::Error)]
pub(super) enum EndError {
    #[error("work that does not end has the transaction")]
    InUse,
    #[error("work goes on using the transaction: {0}")]
    Panicked(String),
    #[error(transparent)]
    Database(#[from] DbErr),
}

/// A value that may panic where it drops a transaction, which is caught.
struct Contained<T>(Option<T>);

impl<T> Contained<T> {
    const fn new(value: T) -> Self {
        Self(Some(value))
    }

    fn get(&self) -> &T {
        self.0.as_ref().expect("only its end takes it out")
    }

    fn into_inner(mut self) -> T {
        self.0.take().expect("only its end takes it out")
    }
}

impl<T> Drop for Contained<T> {
    fn drop(&mut self) {
        let value = self.0.take();
        if let Err(panic) = caught(|| drop(value)) {
            log::error!(panic:%; "work goes on using a transaction after its time; its connection is thrown away");
        }
    }
}

/// Runs `work` between BEGIN and COMMIT. The caller bounds it by a time-out.
pub(super) async fn in_transaction<T, E: WorkError>(
    connection: &DatabaseConnection,
    work: impl AsyncFnOnce(&DatabaseTransaction) -> Result<T, E>,
) -> Outcome<T, E> {
    let Some(transaction) = begin(connection).await else {
        return Outcome::NotBegun;
    };
    let result = work(&transaction).await;
    end(transaction, result).await
}

/// Begins a transaction that is going to write. None where that fails, which is logged.
pub(super) async fn begin(connection: &DatabaseConnection) -> Option<Open> {
    let options = TransactionOptions {
        sqlite_transaction_mode: (connection.get_database_backend() == DbBackend::Sqlite)
            .then_some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let begun = connection.begin_with_options(options).await;
    begun
        .inspect_err(|error| log::error!(step = "begin", error:%; "a transaction failed"))
        .map(Open::new)
        .ok()
}

/// Commits the transaction, or rolls it back where its work has failed.
pub(super) async fn end<T, E: WorkError>(open: Open, result: Result<T, E>) -> Outcome<T, E> {
    match result {
        Ok(value) => match open.commit().await {
            Ok(()) => Outcome::Committed(value),
            // A deferred constraint failed at the commit: both engines have committed nothing.
            Err(EndError::Database(error)) if is_fault_of_the_data(&error) => {
                Outcome::RolledBack(error.into())
            }
            Err(error) => unknown("commit", &error),
        },
        Err(error) => match (error.in_the_work(), open.rollback().await) {
            (Some(error), Ok(())) => Outcome::RolledBack(error),
            (_, Err(error)) => unknown("rollback", &error),
            (None, Ok(())) => Outcome::Unknown,
        },
    }
}

/// Rolls a transaction back whose work still uses its connection, once the work lets go of it, so that its locks are
/// released. Run it in a task: it may wait for ever. The transaction must not be dropped before, because dropping one
/// whose connection is in use panics.
async fn roll_back_later(transaction: Arc<DatabaseTransaction>) {
    if let Err(error) = transaction.execute_unprepared("ROLLBACK").await {
        log::warn!(error:%; "the transaction of abandoned work cannot be rolled back");
    }
}

fn unknown<T, E>(step: &str, error: &EndError) -> Outcome<T, E> {
    log::error!(step, error:%; "a transaction failed");
    Outcome::Unknown
}
