//! A savepoint of our own in every transaction in which the work of authors and hosts runs.
//!
//! Work may begin transactions within its own. Where such a nested transaction is refused, or dropped while it begins,
//! SeaORM and the driver roll back levels that were never begun, and from then on count fewer levels than the database
//! has: a commit of the transaction then does nothing and succeeds, and so does its rollback. The marker tells the
//! truth: whatever rolls back or ends the transaction in which it was set takes it away.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, RuntimeErr, SqlxError};

/// Keeps what was done since the marker was set, and takes the marker away. Fails as [`renew`] does.
pub(super) const KEEP: &str = "RELEASE SAVEPOINT pointsman";
const ROLL_BACK: &str = "ROLLBACK TO SAVEPOINT pointsman";

/// Executes the statements `settings`, and sets the marker.
pub(super) async fn set(transaction: &DatabaseTransaction, settings: &str) -> Result<(), DbErr> {
    let sql = format!("{settings} SAVEPOINT pointsman");
    transaction.execute_unprepared(&sql).await.map(drop)
}

/// Keeps what was done since the marker was set, executes `settings`, and sets the marker anew, in one round trip.
/// Fails where the transaction that was marked is not open any more. The driver then does not know at which level the
/// connection is, so that it must be thrown away.
pub(super) async fn renew(transaction: &DatabaseTransaction, settings: &str) -> Result<(), DbErr> {
    let sql = format!("{KEEP}; {settings} SAVEPOINT pointsman");
    transaction.execute_unprepared(&sql).await.map(drop)
}

/// Undoes what was done since the marker was set, and fails as [`renew`] does. Work that was aborted may have left a
/// statement behind that still runs, for example one that waits for a lock. The driver reads its end before the next
/// statement, which then fails with the error of that one, and the connection can be used further.
pub(super) async fn roll_back(transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    if transaction.execute_unprepared(ROLL_BACK).await.is_ok() {
        return Ok(());
    }
    transaction.execute_unprepared(ROLL_BACK).await.map(drop)
}

/// Whether [`renew`] or [`roll_back`] failed because there is no transaction or no marker. The connection works then.
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
