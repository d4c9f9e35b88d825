//! Migrations of which an earlier version has done a part.
//!
//! On SQLite, earlier versions ran the first, second, fourth and fifth migration statement by statement. A kill
//! meanwhile left some of the statements done and no row in `seaql_migrations`, and no start could open the database
//! again: the first statement said that its table exists. Such a migration is completed by leaving out what is done.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{DbBackend, Statement, Value},
};

/// Runs the statement, unless it is SQLite and the statement is done already.
pub(crate) async fn execute(connection: &SchemaManagerConnection<'_>, sql: &str) -> Result<(), DbErr> {
    if connection.get_database_backend() == DbBackend::Sqlite && is_done(connection, sql).await? {
        return Ok(());
    }
    connection.execute_unprepared(sql).await.map(drop)
}

/// Only a table or an index with the very text of the statement is taken for done: another program's table with the
/// name of one of ours is refused.
async fn is_done(connection: &SchemaManagerConnection<'_>, sql: &str) -> Result<bool, DbErr> {
    let words: Vec<&str> = sql.split_whitespace().collect();
    match words[..] {
        ["CREATE", "UNIQUE", "INDEX", name, ..] | ["CREATE", "TABLE" | "INDEX", name, ..] => {
            let stored = text(
                connection,
                "SELECT sql AS it FROM sqlite_master WHERE name = ?",
                &[name],
            )
            .await?;
            Ok(stored.is_some_and(|stored| stored.split_whitespace().eq(words)))
        }
        ["ALTER", "TABLE", table, "ADD", "COLUMN", column, ..] => {
            let column_of = "SELECT name AS it FROM pragma_table_info(?) WHERE name = ?";
            Ok(text(connection, column_of, &[table, column]).await?.is_some())
        }
        ["DROP", "INDEX", name] => {
            let index = "SELECT name AS it FROM sqlite_master WHERE name = ?";
            Ok(text(connection, index, &[name]).await?.is_none())
        }
        _ => Ok(false),
    }
}

/// The text in the first row of the query, if there is one.
async fn text(
    connection: &SchemaManagerConnection<'_>,
    sql: &str,
    values: &[&str],
) -> Result<Option<String>, DbErr> {
    let values = values.iter().map(|value| Value::from(*value));
    let statement = Statement::from_sql_and_values(DbBackend::Sqlite, sql, values);
    let row = connection.query_one_raw(statement).await?;
    row.map(|row| row.try_get("", "it")).transpose()
}
