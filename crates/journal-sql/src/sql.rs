//! Multi-row statements.

use std::fmt::Write;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement, Value};
use uuid::Uuid;

/// Most rows of one statement. SQLite compiles a statement for each number of rows, so that larger ones are not faster
/// there.
pub(crate) const ROWS_PER_STATEMENT: usize = 128;

/// Splits `rows` into chunks whose lengths are powers of two, at most `max` (itself one), so that only a
/// handful of statement texts exist and each is prepared once per connection.
pub(super) fn power_of_two_chunks<T>(mut rows: &[T], max: usize) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        if rows.is_empty() {
            return None;
        }
        let largest = 1 << rows.len().ilog2();
        let (chunk, rest) = rows.split_at(largest.min(max));
        rows = rest;
        Some(chunk)
    })
}

/// Builds `{head} (?,…),(?,…) {tail}` with `columns` placeholders for each of `rows` rows.
pub(super) fn multi_row(
    backend: DbBackend,
    head: &str,
    columns: usize,
    rows: usize,
    tail: &str,
    values: Vec<Value>,
) -> Statement {
    debug_assert_eq!(values.len(), columns * rows, "one value for each placeholder");
    let mut sql = String::with_capacity(head.len() + tail.len() + rows * columns * 6 + 8);
    sql.push_str(head);
    for row in 0..rows {
        sql.push_str(if row == 0 { " (" } else { ",(" });
        for column in 0..columns {
            if column > 0 {
                sql.push(',');
            }
            if backend == DbBackend::Postgres {
                // Writing to a String cannot fail.
                let _ = write!(sql, "${}", row * columns + column + 1);
            } else {
                sql.push('?');
            }
        }
        sql.push(')');
    }
    sql.push(' ');
    sql.push_str(tail);
    Statement::from_sql_and_values(backend, sql, values)
}

/// `{head} (…),(…) {tail}` for all rows, in statements of at most [`ROWS_PER_STATEMENT`].
pub(crate) fn rows_of<T>(
    rows: &[T],
    backend: DbBackend,
    head: &str,
    tail: &str,
    values: impl Fn(&T) -> Vec<Value>,
) -> Vec<Statement> {
    power_of_two_chunks(rows, ROWS_PER_STATEMENT)
        .map(|chunk| {
            let values: Vec<Vec<Value>> = chunk.iter().map(&values).collect();
            multi_row(backend, head, values[0].len(), chunk.len(), tail, values.concat())
        })
        .collect()
}

/// `{head} (?,?,…)` for all ids, in statements of at most [`ROWS_PER_STATEMENT`]. The head has the placeholders of the
/// `first` values.
pub(crate) fn rows_with_ids(backend: DbBackend, head: &str, first: &[Value], ids: &[Uuid]) -> Vec<Statement> {
    power_of_two_chunks(ids, ROWS_PER_STATEMENT)
        .map(|chunk| {
            let placeholders: Vec<String> = (first.len() + 1..=first.len() + chunk.len())
                .map(|number| match backend {
                    DbBackend::Postgres => format!("${number}"),
                    _ => "?".to_owned(),
                })
                .collect();
            let values = first.iter().cloned().chain(chunk.iter().map(|id| (*id).into()));
            Statement::from_sql_and_values(backend, format!("{head} ({})", placeholders.join(",")), values)
        })
        .collect()
}

/// Builds `{head} (?,?,…) {tail}`: one list of placeholders.
pub(super) fn in_list(backend: DbBackend, head: &str, tail: &str, values: Vec<Value>) -> Statement {
    let columns = values.len();
    multi_row(backend, head, columns, 1, tail, values)
}

/// Builds `{head} ((a ? AND b ?) OR (a ? AND b ?) …) {tail}` for SQLite, with a pair of conditions for each pair of
/// values.
pub(super) fn any_of(head: &str, [first, second]: [&str; 2], tail: &str, values: Vec<Value>) -> Statement {
    let condition = format!("({first} ? AND {second} ?)");
    let conditions = vec![condition; values.len() / 2].join(" OR ");
    Statement::from_sql_and_values(DbBackend::Sqlite, format!("{head} ({conditions}) {tail}"), values)
}

/// The first `N` placeholders as the engine writes them: `$1`, `$2`, … or `?`.
pub(crate) fn numbered<const N: usize>(backend: DbBackend) -> [&'static str; N] {
    const NUMBERED: [&str; 8] = ["$1", "$2", "$3", "$4", "$5", "$6", "$7", "$8"];
    std::array::from_fn(|index| {
        if backend == DbBackend::Postgres {
            NUMBERED[index]
        } else {
            "?"
        }
    })
}

/// Converts a count for an INTEGER column. Counts fit: the retry schedule bounds attempts. A larger one is stored as
/// `i32::MAX`.
pub(crate) fn count(attempts: u32) -> i32 {
    i32::try_from(attempts).unwrap_or(i32::MAX)
}

/// Executes the statement, whose placeholders are written `{1}`, `{2}` and so on in their order.
pub(crate) async fn run(
    transaction: &DatabaseTransaction,
    sql: &str,
    values: Vec<Value>,
) -> Result<u64, DbErr> {
    let done = transaction
        .execute_raw(numbered_statement(
            transaction.get_database_backend(),
            sql,
            values,
        ))
        .await?;
    Ok(done.rows_affected())
}

/// The statement with the placeholders of the engine in place of `{1}`, `{2}` and so on.
pub(crate) fn numbered_statement(backend: DbBackend, sql: &str, values: Vec<Value>) -> Statement {
    let sql = (1..=values.len()).fold(sql.to_owned(), |sql, number| {
        let placeholder = match backend {
            DbBackend::Postgres => format!("${number}"),
            // With its number: the placeholders need not stand in the order of the values.
            _ => format!("?{number}"),
        };
        sql.replace(&format!("{{{number}}}"), &placeholder)
    });
    Statement::from_sql_and_values(backend, sql, values)
}

/// A limit for SQL.
pub(crate) fn signed(limit: u64) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_powers_of_two_and_cover_all() {
        let rows: Vec<u32> = (0..711).collect();
        let chunks: Vec<&[u32]> = power_of_two_chunks(&rows, 256).collect();
        assert!(
            chunks
                .iter()
                .all(|chunk| chunk.len().is_power_of_two() && chunk.len() <= 256)
        );
        assert_eq!(chunks.concat(), rows);
    }

    #[test]
    fn placeholders_are_numbered_on_postgresql_only() {
        let values = || vec![Value::from(1), Value::from(2), Value::from(3), Value::from(4)];
        let sqlite = multi_row(DbBackend::Sqlite, "INSERT INTO t VALUES", 2, 2, "", values());
        assert_eq!(sqlite.sql, "INSERT INTO t VALUES (?,?),(?,?) ");
        let postgres = multi_row(DbBackend::Postgres, "INSERT INTO t VALUES", 2, 2, "", values());
        assert_eq!(postgres.sql, "INSERT INTO t VALUES ($1,$2),($3,$4) ");
    }
}
