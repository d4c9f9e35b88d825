//! Settings of the sessions that write.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr};

/// Time-outs on PostgreSQL's side: a statement that the writer has given up must neither run on nor keep its locks. A
/// commit is acknowledged once it is on disk, whatever the database's own setting.
pub(crate) const WRITER_SESSION: [(&str, &str); 4] = [
    ("statement_timeout", "6000"),
    ("lock_timeout", "4000"),
    ("idle_in_transaction_session_timeout", "10000"),
    ("synchronous_commit", "on"),
];

/// Lifts the time-outs of a new session. Migrations, and the wait for the end of a lost session, may take longer.
pub(crate) const LIFT_TIMEOUTS: &str =
    "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0";

/// Takes back whatever the session was made to do since it began: its role and its settings.
const RESTORE: &str = "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL;";

/// The statements that take back what work has set for the session or for the rest of the transaction, which would
/// otherwise apply to those that come after it. On SQLite what decides about durability cannot be set in a transaction.
pub(crate) const fn restore(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => RESTORE,
        _ => "",
    }
}

/// The same as [`restore`] behind a commit, in a transaction of its own: otherwise it would belong to the one that is
/// begun after it, and be rolled back.
pub(crate) const fn restore_after_commit(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "BEGIN; RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; COMMIT;",
        _ => "",
    }
}

/// The statement that limits how long the rest of a transaction waits for a lock beside a slow effect. Where that one
/// holds the lock, waiting is in vain, because it is the writer that ends both.
pub(crate) const fn limit_waits(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "SET LOCAL lock_timeout = '250ms';",
        _ => "",
    }
}

/// Sets the time-outs that [`LIFT_TIMEOUTS`] has lifted.
pub(crate) async fn set_timeouts(connection: &DatabaseConnection) -> Result<(), DbErr> {
    if connection.get_database_backend() == DbBackend::Postgres {
        connection.execute_unprepared(RESTORE).await?;
    }
    Ok(())
}
