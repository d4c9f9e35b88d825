//! One transaction on the writer connection.

use std::{ops::Deref, sync::Arc};

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};

use super::{
    fault::{is_fault_of_the_connection, is_fault_of_the_data, is_refused_commit},
    marker::{self, KEEP},
    session::restore_after_commit,
};
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
            Self::Database(error) if is_fault_of_the_connection(&error) => None,
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
/// The pool of a transaction that was dropped, or at whose end the driver was at another level, is closed, so that its
/// connection is not used further.
pub(super) struct Open {
    transaction: Contained<Arc<DatabaseTransaction>>,
    pool: Pool,
    of: Of,
}

/// Who writes in a transaction.
#[derive(Clone, Copy)]
enum Of {
    Journal,
    /// Authors or hosts, behind a [marker](crate::marker).
    Work(Around),
}

/// The statements before and after the commit of a transaction of work.
#[derive(Clone, Copy, Default)]
pub(super) struct Around {
    pub(super) before: &'static str,
    pub(super) after: &'static str,
}

/// The pool of one connection, which is closed when this is dropped unless the connection can be used further.
struct Pool {
    connection: DatabaseConnection,
    is_reusable: bool,
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.is_reusable {
            return;
        }
        // It is closed by these calls. Their futures would wait for the connection, which ends when it is given back.
        match self.connection.get_database_backend() {
            DbBackend::Postgres => drop(self.connection.get_postgres_connection_pool().close()),
            _ => drop(self.connection.get_sqlite_connection_pool().close()),
        }
    }
}

/// Whether the connection must be replaced, because a transaction has not ended as the driver counts.
pub(super) fn is_closed(connection: &DatabaseConnection) -> bool {
    match connection.get_database_backend() {
        DbBackend::Postgres => connection.get_postgres_connection_pool().is_closed(),
        _ => connection.get_sqlite_connection_pool().is_closed(),
    }
}

impl Open {
    fn new(connection: &DatabaseConnection, transaction: DatabaseTransaction, of: Of) -> Self {
        Self {
            transaction: Contained::new(Arc::new(transaction)),
            pool: Pool {
                connection: connection.clone(),
                is_reusable: false,
            },
            of,
        }
    }

    /// A transaction in which work runs behind a [marker](crate::marker), which is to be set when it is committed.
    pub(super) fn of_work(connection: &DatabaseConnection, transaction: DatabaseTransaction) -> Self {
        Self::new(connection, transaction, Of::Work(Around::default()))
    }

    /// Whether work that does not end has the transaction as well.
    pub(super) fn is_shared(&self) -> bool {
        Arc::strong_count(self) > 1
    }

    pub(super) async fn commit(self) -> Result<(), EndError> {
        match self.of {
            Of::Journal => self.end(async |open| Ended::of(open.commit().await)).await,
            Of::Work(around) => self.end(async |open| commit_in_sql(open, around).await).await,
        }
    }

    pub(super) async fn rollback(self) -> Result<(), EndError> {
        match self.of {
            Of::Journal => self.end(async |open| Ended::of(open.rollback().await)).await,
            Of::Work(_) => self.end(roll_back_in_sql).await,
        }
    }

    async fn end(self, how: impl AsyncFnOnce(DatabaseTransaction) -> Ended) -> Result<(), EndError> {
        let Self {
            transaction,
            mut pool,
            ..
        } = self;
        match Arc::try_unwrap(transaction.into_inner()) {
            // Where it fails, it drops the transaction by itself.
            Ok(transaction) => match Caught::new(how(transaction)).await {
                Ok(ended) => {
                    pool.is_reusable = ended.is_reusable;
                    Ok(ended.result?)
                }
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

/// How a transaction has ended, and whether its connection can be used further.
struct Ended {
    result: Result<(), DbErr>,
    is_reusable: bool,
}

impl Ended {
    fn of(result: Result<(), DbErr>) -> Self {
        let is_reusable = result.as_ref().err().is_none_or(is_fault_of_the_data);
        Self { result, is_reusable }
    }
}

/// Commits a transaction by statements. The last of them begins one without any lock for the driver to end: work may
/// have left a nested transaction open, so that the driver counts one level more than the database has, and its own
/// commit would only release a savepoint.
async fn commit_in_sql(transaction: DatabaseTransaction, Around { before, after }: Around) -> Ended {
    let transaction = Contained::new(transaction);
    let sql = format!("{before} {KEEP}; COMMIT; {after} BEGIN");
    let Err(error) = transaction.get().execute_unprepared(&sql).await else {
        return Ended {
            result: Ok(()),
            is_reusable: is_ended_by_driver(transaction).await,
        };
    };
    let is_reusable = if is_refused_commit(&error) {
        // By a deferred constraint or trigger. PostgreSQL has rolled back, SQLite has not.
        let rollback = match transaction.get().get_database_backend() {
            DbBackend::Postgres => "BEGIN",
            _ => "ROLLBACK; BEGIN",
        };
        let begun = transaction.get().execute_unprepared(rollback).await;
        begun.is_ok() && is_ended_by_driver(transaction).await
    } else {
        release_locks(&transaction).await;
        false
    };
    Ended {
        result: Err(error),
        is_reusable,
    }
}

/// Rolls a transaction back by statements, as [`commit_in_sql`] commits one. Fails where it is not the one that was
/// marked.
async fn roll_back_in_sql(transaction: DatabaseTransaction) -> Ended {
    let transaction = Contained::new(transaction);
    let rolled_back = async {
        marker::roll_back(transaction.get()).await?;
        transaction.get().execute_unprepared("ROLLBACK; BEGIN").await
    };
    match rolled_back.await {
        Ok(_) => Ended {
            result: Ok(()),
            is_reusable: is_ended_by_driver(transaction).await,
        },
        Err(error) => {
            release_locks(&transaction).await;
            Ended {
                result: Err(error),
                is_reusable: false,
            }
        }
    }
}

/// Lets the driver end the transaction that was begun for it. False where it counts another level.
async fn is_ended_by_driver(transaction: Contained<DatabaseTransaction>) -> bool {
    let ended = Caught::new(transaction.into_inner().rollback()).await;
    let cause = match ended {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => error.to_string(),
        Err(panic) => panic,
    };
    log::error!(cause:%; "work has left a nested transaction open; the connection is thrown away");
    false
}

/// Ends whatever is open on a connection that is thrown away: something that work keeps may keep it alive.
async fn release_locks(transaction: &Contained<DatabaseTransaction>) {
    // It fails where the connection is gone, or nothing is open.
    let _ = transaction.get().execute_unprepared("ROLLBACK").await;
}

impl Deref for Open {
    type Target = Arc<DatabaseTransaction>;

    fn deref(&self) -> &Self::Target {
        self.transaction.get()
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
    let Some(transaction) = begin(connection, Of::Journal).await else {
        return Outcome::NotBegun;
    };
    let result = work(&transaction).await;
    end(transaction, result).await
}

/// Runs `work` of a host between BEGIN and COMMIT, behind the statements `settings` and a [marker](crate::marker).
pub(super) async fn in_transaction_of_work<T, E: WorkError>(
    connection: &DatabaseConnection,
    settings: &str,
    work: impl AsyncFnOnce(&DatabaseTransaction) -> Result<T, E>,
) -> Outcome<T, E> {
    // Not before the commit: what is deferred until then may need what the work has set.
    let around = Around {
        after: restore_after_commit(connection.get_database_backend()),
        ..Around::default()
    };
    let Some(transaction) = begin_of_work(connection, around).await else {
        return Outcome::NotBegun;
    };
    let result = match marker::set(&transaction, settings).await {
        Ok(()) => work(&transaction).await,
        Err(error) => Err(error.into()),
    };
    end(transaction, result).await
}

/// Begins a transaction that is going to write, in which work runs behind a [marker](crate::marker). None where that
/// fails, which is logged.
pub(super) async fn begin_of_work(connection: &DatabaseConnection, around: Around) -> Option<Open> {
    begin(connection, Of::Work(around)).await
}

async fn begin(connection: &DatabaseConnection, of: Of) -> Option<Open> {
    let options = TransactionOptions {
        sqlite_transaction_mode: (connection.get_database_backend() == DbBackend::Sqlite)
            .then_some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let begun = connection.begin_with_options(options).await;
    begun
        .inspect_err(|error| log::error!(step = "begin", error:%; "a transaction failed"))
        .map(|transaction| Open::new(connection, transaction, of))
        .ok()
}

/// Commits the transaction, or rolls it back where its work has failed.
pub(super) async fn end<T, E: WorkError>(open: Open, result: Result<T, E>) -> Outcome<T, E> {
    let is_refused = match open.of {
        Of::Journal => is_fault_of_the_data,
        Of::Work(_) => is_refused_commit,
    };
    match result {
        Ok(value) => match open.commit().await {
            Ok(()) => Outcome::Committed(value),
            // A deferred constraint or trigger failed at the commit: both engines have committed nothing.
            Err(EndError::Database(error)) if is_refused(&error) => Outcome::RolledBack(error.into()),
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
pub(super) async fn roll_back_later(transaction: Arc<DatabaseTransaction>) {
    if let Err(error) = transaction.execute_unprepared("ROLLBACK").await {
        log::warn!(error:%; "the transaction of abandoned work cannot be rolled back");
    }
}

fn unknown<T, E>(step: &str, error: &EndError) -> Outcome<T, E> {
    log::error!(step, error:%; "a transaction failed");
    Outcome::Unknown
}
