//! Reads of a row.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, QueryResult, Statement, Value};

/// The first row.
pub(super) async fn one<const N: usize>(
    snapshot: &DatabaseTransaction,
    sql: &str,
    values: [Value; N],
) -> Result<Option<QueryResult>, DbErr> {
    let statement = Statement::from_sql_and_values(snapshot.get_database_backend(), sql, values);
    snapshot.query_one_raw(statement).await
}

/// The number in the first column of the only row.
pub(super) async fn count(snapshot: &DatabaseTransaction, sql: &str) -> Result<u64, DbErr> {
    let row = one(snapshot, sql, []).await?;
    let number: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
    Ok(number.unsigned_abs())
}
