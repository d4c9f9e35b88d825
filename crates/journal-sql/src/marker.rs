//! Whether a transaction in which the work of authors and hosts runs is still open.
//!
//! Work may begin transactions within its own. Where such a nested transaction is refused or given up, SeaORM and the
//! driver roll back levels that were never begun. From then on the driver counts fewer levels than the database has:
//! a commit of a savepoint commits the whole transaction, one of the transaction does nothing and succeeds, and so do
//! rollbacks. A savepoint of our own tells the truth: it exists for as long as the transaction in which it was set.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, RuntimeErr, SqlxError};

const SET: &str = "SAVEPOINT pointsman";
/// One round trip, since every effect waits for it.
const RENEW: &str = "RELEASE SAVEPOINT pointsman; SAVEPOINT pointsman";

/// Marks the transaction.
pub(super) async fn set(transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    transaction.execute_unprepared(SET).await.map(drop)
}

/// Fails where the transaction that was marked is not open any more. The driver then does not know at which level the
/// connection is, so that it must be thrown away.
pub(super) async fn check(transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    transaction.execute_unprepared(RENEW).await.map(drop)
}

/// Whether a statement on savepoints failed because the transaction or the savepoint does not exist, over a connection
/// that works.
pub(super) fn is_missing(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error
    else {
        return false;
    };
    let SqlxError::Database(error) = error.as_ref() else {
        return false;
    };
    // PostgreSQL: no active transaction, no such savepoint. SQLite has only its general error for it.
    matches!(error.code().as_deref(), Some("25P01" | "3B001" | "1"))
}
