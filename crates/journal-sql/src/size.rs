//! How much of the disk the database takes.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

/// Bytes of the database that hold something. On SQLite, pages of the file that are free to be written again do not
/// count; on PostgreSQL, everything of the database does.
///
/// # Errors
/// When the database fails.
pub(crate) async fn used_bytes(connection: &impl ConnectionTrait) -> Result<u64, DbErr> {
    let backend = connection.get_database_backend();
    let sql = match backend {
        DbBackend::Sqlite => {
            "SELECT (p.page_count - f.freelist_count) * s.page_size AS bytes FROM pragma_page_count p, \
             pragma_freelist_count f, pragma_page_size s"
        }
        _ => "SELECT pg_database_size(current_database()) AS bytes",
    };
    let row = connection
        .query_one_raw(Statement::from_string(backend, sql))
        .await?;
    let bytes: i64 = row.map_or(Ok(0), |row| row.try_get("", "bytes"))?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}
