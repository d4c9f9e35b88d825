//! The batch driver on SQLite. A round trip is a message to the driver's thread and back.

use std::{collections::HashMap, fmt::Write as _, sync::Arc};

use sea_orm::{
    DbErr, SqlxError,
    sqlx::{self, AssertSqlSafe, SqliteConnection, query::Query, sqlite::SqliteArguments},
};

use super::rows::{ATTEMPT_COLUMNS, ATTEMPT_ROW, Rows, StatementError, Writing, wrapped};
use crate::{
    apply::{CURSOR_COLUMNS, CURSOR_ROW, EVENT_COLUMNS, EVENT_ROW, MOVE_CURSORS},
    sql::count,
    write_ahead_log::log_size::{CheckpointMode, CheckpointRow, LogSize},
};
use pointsman_domain::{event::PlatformEvent, timestamp::Timestamp};
use pointsman_journal::{AttemptRecord, storage::Cursor};

/// Most rows of one statement.
const MAX_ROWS: usize = 128;
/// Above this number, the number of rows of a statement is a multiple of it. So most batches take two statements for
/// each kind of row, and there are few different texts, each prepared once.
const ROW_STEP: usize = 16;

type Bound = Query<'static, sqlx::Sqlite, SqliteArguments>;

/// The texts of the statements that were executed so far.
#[derive(Default)]
pub(super) struct StatementTexts(HashMap<Shape, Arc<str>>);

/// Everything that the text of a statement depends on.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Shape {
    kind: Kind,
    rows: usize,
    /// The INSERT clause.
    insert: &'static str,
    /// What begins and ends the transaction, in the same text to save a round trip; may be empty.
    before: &'static str,
    after: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Events,
    Cursors,
    Attempts(Writing),
}

const INSERT: &str = "INSERT INTO";
/// For a transaction that is rolled back as a whole where a row is refused. A plain INSERT makes SQLite copy each page
/// that the statement changes, to be able to undo that statement alone; more than 64 KiB of copies go into a temporary
/// file (sqlite.org/tempfiles.html, "Statement Journal Files").
const INSERT_OR_FAIL: &str = "INSERT OR FAIL INTO";

/// The text that begins a transaction of several statements, and the text that ends it.
struct TransactionText {
    begin: &'static str,
    commit: &'static str,
    /// Whether BEGIN and COMMIT are sent for a single statement as well.
    always: bool,
}

const DURABLE: TransactionText = TransactionText {
    begin: "BEGIN IMMEDIATE; ",
    commit: "; COMMIT",
    always: false,
};

/// The commit does not wait for the disk.
const RELAXED: TransactionText = TransactionText {
    begin: "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE; ",
    commit: "; COMMIT; PRAGMA synchronous = FULL",
    always: true,
};
const RESTORE: &str = "PRAGMA synchronous = FULL";

pub(super) async fn write_batch(
    connection: &mut SqliteConnection,
    texts: &mut StatementTexts,
    events: &[&PlatformEvent],
    cursors: &[Cursor],
) -> Result<(), StatementError> {
    let statements: Vec<Rows<'_>> = pieces(events)
        .map(Rows::Events)
        .chain(pieces(cursors).map(Rows::Cursors))
        .collect();
    write(connection, texts, &statements, &DURABLE).await
}

pub(super) async fn write_attempts(
    connection: &mut SqliteConnection,
    texts: &mut StatementTexts,
    rows: &[AttemptRecord],
    writing: Writing,
) -> Result<(), StatementError> {
    let statements: Vec<Rows<'_>> = pieces(rows).map(|rows| Rows::Attempts(rows, writing)).collect();
    let written = write(connection, texts, &statements, &RELAXED).await;
    if written.is_err() {
        // Without this, a later commit of events on this connection might not wait for the disk.
        let restored = sqlx::query(RESTORE).execute(connection).await;
        restored.map_err(|error| StatementError::Unknown(wrapped(error)))?;
    }
    written
}

pub(super) async fn checkpoint(
    connection: &mut SqliteConnection,
    mode: CheckpointMode,
) -> Result<LogSize, DbErr> {
    let query = sqlx::query_as(mode.sql());
    let row: Option<CheckpointRow> = query.fetch_optional(connection).await.map_err(wrapped)?;
    row.map(LogSize::of)
        .ok_or_else(|| DbErr::Custom("SQLite has no write-ahead log".to_owned()))
}

async fn write(
    connection: &mut SqliteConnection,
    texts: &mut StatementTexts,
    statements: &[Rows<'_>],
    transaction: &TransactionText,
) -> Result<(), StatementError> {
    let has_transaction = statements.len() > 1 || transaction.always;
    for (index, rows) in statements.iter().enumerate() {
        let (is_first, is_last) = (index == 0, index + 1 == statements.len());
        let text = texts.of(
            *rows,
            if has_transaction { INSERT_OR_FAIL } else { INSERT },
            if has_transaction && is_first {
                transaction.begin
            } else {
                ""
            },
            if has_transaction && is_last {
                transaction.commit
            } else {
                ""
            },
        );
        let bound = rows.bind(sqlx::query(AssertSqlSafe(text)));
        if let Err(error) = bound.execute(&mut *connection).await {
            return Err(roll_back(connection, error, has_transaction).await);
        }
    }
    Ok(())
}

async fn roll_back(
    connection: &mut SqliteConnection,
    error: SqlxError,
    has_transaction: bool,
) -> StatementError {
    if has_transaction && let Err(worse) = sqlx::query("ROLLBACK").execute(connection).await {
        log::error!(error:% = worse; "a transaction cannot be rolled back");
        return StatementError::Unknown(wrapped(error));
    }
    StatementError::RolledBack(wrapped(error))
}

/// Splits the rows into the slices that one statement takes each, see [`ROW_STEP`].
fn pieces<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let rounded = match rows.len() {
            0 => return None,
            few @ 1..=ROW_STEP => few,
            many => (many / ROW_STEP * ROW_STEP).min(MAX_ROWS),
        };
        let (piece, rest) = rows.split_at(rounded);
        rows = rest;
        Some(piece)
    })
}

impl StatementTexts {
    fn of(
        &mut self,
        rows: Rows<'_>,
        insert: &'static str,
        before: &'static str,
        after: &'static str,
    ) -> Arc<str> {
        let (kind, rows) = match rows {
            Rows::Events(rows) => (Kind::Events, rows.len()),
            Rows::Cursors(rows) => (Kind::Cursors, rows.len()),
            Rows::Attempts(rows, writing) => (Kind::Attempts(writing), rows.len()),
        };
        let shape = Shape {
            kind,
            rows,
            insert,
            before,
            after,
        };
        Arc::clone(self.0.entry(shape).or_insert_with(|| shape.text()))
    }
}

impl Shape {
    fn text(self) -> Arc<str> {
        let (table, columns, conflict) = match self.kind {
            Kind::Events => (EVENT_ROW, EVENT_COLUMNS, ""),
            Kind::Cursors => (CURSOR_ROW, CURSOR_COLUMNS, MOVE_CURSORS),
            Kind::Attempts(writing) => (ATTEMPT_ROW, ATTEMPT_COLUMNS, writing.conflict()),
        };
        let row = format!("({})", vec!["?"; columns].join(","));
        let rows = vec![row; self.rows].join(",");
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "{}{} {table} VALUES {rows} {conflict}{}",
            self.before, self.insert, self.after
        );
        text.into()
    }
}

impl Rows<'_> {
    fn bind(self, query: Bound) -> Bound {
        match self {
            Self::Events(rows) => rows.iter().fold(query, |query, event| bind_event(query, event)),
            Self::Cursors(rows) => rows.iter().fold(query, bind_cursor),
            Self::Attempts(rows, _) => rows.iter().fold(query, bind_attempt),
        }
    }
}

fn bind_event(query: Bound, event: &PlatformEvent) -> Bound {
    let cause = event.cause;
    query
        .bind(event.workspace_id.uuid())
        .bind(event.seq.get())
        .bind(event.id.uuid())
        .bind(event.event_key.shared())
        .bind(event.schema_version.clone())
        .bind(event.actor.clone())
        .bind(Arc::clone(&event.payload))
        .bind(event.occurred_at.millis())
        .bind(event.traceparent.as_deref())
        .bind(cause.map(|cause| cause.causation_id.uuid()))
        .bind(cause.map(|cause| cause.correlation_id.uuid()))
        .bind(count(cause.map_or(0, |cause| cause.depth)))
}

fn bind_cursor(query: Bound, cursor: &Cursor) -> Bound {
    query
        .bind(cursor.installation_id.uuid())
        .bind(cursor.workspace_id.uuid())
        .bind(cursor.settled.get())
        .bind(cursor.generation)
        .bind(cursor.last_success_at.map(Timestamp::millis))
        .bind(cursor.last_failure_at.map(Timestamp::millis))
}

fn bind_attempt(query: Bound, row: &AttemptRecord) -> Bound {
    query
        .bind(row.id)
        .bind(row.workspace_id.uuid())
        .bind(row.installation_id.uuid())
        .bind(row.event_id.uuid())
        .bind(row.handler.as_str())
        .bind(row.kind.as_str())
        .bind(count(row.number))
        .bind(row.outcome.as_str())
        .bind(row.http_status.map(i32::from))
        .bind(row.duration_ms)
        .bind(row.error.as_deref())
        .bind(row.response.as_deref())
        .bind(row.attempted_at.millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_few_and_cover_all() {
        for count in 0..1000 {
            let rows: Vec<usize> = (0..count).collect();
            let pieces: Vec<&[usize]> = pieces(&rows).collect();
            assert_eq!(pieces.concat(), rows);
            assert!(pieces.len() <= count / MAX_ROWS + 2, "{count}");
            assert!(
                pieces
                    .iter()
                    .all(|piece| piece.len() <= ROW_STEP || piece.len() % ROW_STEP == 0)
            );
        }
    }
}
