//! What every session that writes has.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr};

/// Bounds on the server's side: what the writer has given up must not go on for ever, nor hold locks. Not for
/// migrations, which may take their time.
pub(crate) async fn guard(connection: &DatabaseConnection) -> Result<(), DbErr> {
    if connection.get_database_backend() == DbBackend::Postgres {
        let bounds = "SET statement_timeout = '6s'; SET lock_timeout = '4s'; \
                      SET idle_in_transaction_session_timeout = '10s'";
        connection.execute_unprepared(bounds).await?;
    }
    Ok(())
}
