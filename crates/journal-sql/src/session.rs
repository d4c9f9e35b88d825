//! Time-outs of the sessions that write.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr};

/// Sets time-outs on PostgreSQL's side: a statement that the writer has given up must neither run on nor keep its
/// locks. Called after the migrations, which may take longer.
pub(crate) async fn set_timeouts(connection: &DatabaseConnection) -> Result<(), DbErr> {
    if connection.get_database_backend() == DbBackend::Postgres {
        let bounds = "SET statement_timeout = '6s'; SET lock_timeout = '4s'; \
                      SET idle_in_transaction_session_timeout = '10s'";
        connection.execute_unprepared(bounds).await?;
    }
    Ok(())
}
