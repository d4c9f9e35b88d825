//! One transaction on the writer connection.

use std::{
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};

use super::fault::is_fault_of_the_data;
use pointsman_journal::{
    ChangeError,
    storage::{JobError, Outcome},
};
use pointsman_panics::discard;

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

/// A transaction that was begun. It is ended by [`end`]; where its time-out passes, it is dropped.
pub(super) struct Open(Option<Arc<DatabaseTransaction>>);

impl Deref for Open {
    type Target = Arc<DatabaseTransaction>;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref().expect("only its end takes it out")
    }
}

impl Drop for Open {
    /// A transaction panics when it is dropped while its connection is in use. Work can bring that about: it may keep a
    /// nested transaction, and go on using it in a task of its own.
    fn drop(&mut self) {
        let transaction = self.0.take();
        if let Err(thrown) = catch_unwind(AssertUnwindSafe(|| drop(transaction))) {
            discard(thrown);
            log::error!("work goes on using a transaction after its time; its connection is thrown away");
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
        .map(|transaction| Open(Some(Arc::new(transaction))))
        .ok()
}

/// Commits the transaction, or rolls it back where its work has failed.
pub(super) async fn end<T, E: WorkError>(mut open: Open, result: Result<T, E>) -> Outcome<T, E> {
    let Some(transaction) = open.0.take() else {
        return Outcome::Unknown;
    };
    let transaction = match Arc::try_unwrap(transaction) {
        Ok(transaction) => transaction,
        Err(in_use) => {
            log::error!("the work of an effect does not come back: its connection is thrown away");
            tokio::spawn(roll_back_later(in_use));
            return Outcome::Unknown;
        }
    };
    match result {
        Ok(value) => match transaction.commit().await {
            Ok(()) => Outcome::Committed(value),
            // A deferred constraint failed at the commit: both engines have committed nothing.
            Err(error) if is_fault_of_the_data(&error) => Outcome::RolledBack(error.into()),
            Err(error) => unknown("commit", &error),
        },
        Err(error) => match (error.in_the_work(), transaction.rollback().await) {
            (Some(error), Ok(())) => Outcome::RolledBack(error),
            (_, Err(error)) => unknown("rollback", &error),
            (None, Ok(())) => Outcome::Unknown,
        },
    }
}

/// Rolls a transaction back whose work still uses its connection, once the work lets go of it, so that its locks are
/// released. Run it in a task: it may wait for ever. The transaction must not be dropped before, because dropping one
/// whose connection is in use panics.
pub(super) async fn roll_back_later(transaction: Arc<DatabaseTransaction>) {
    if let Err(error) = transaction.execute_unprepared("ROLLBACK").await {
        log::warn!(error:%; "the transaction of abandoned work cannot be rolled back");
    }
}

fn unknown<T, E>(step: &str, error: &DbErr) -> Outcome<T, E> {
    log::error!(step, error:%; "a transaction failed");
    Outcome::Unknown
}
