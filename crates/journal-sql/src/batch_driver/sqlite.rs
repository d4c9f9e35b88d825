//! On SQLite, where a trip is a message to the driver's thread and back.

use std::{collections::HashMap, fmt::Write as _, sync::Arc};

use sea_orm::{
    DbErr, SqlxError,
    sqlx::{self, AssertSqlSafe, SqliteConnection, query::Query, sqlite::SqliteArguments},
};

use super::rows::{ATTEMPT_COLUMNS, ATTEMPT_ROW, Rows, StatementError, Writing, wrapped};
use crate::{
    apply::{CURSOR_COLUMNS, CURSOR_ROW, EVENT_COLUMNS, EVENT_ROW, MOVE_CURSORS},
    sql::count,
    write_ahead_log::frames::{Frames, FramesRow, Mode},
};
use pointsman_domain::{event::PlatformEvent, timestamp::Timestamp};
use pointsman_journal::{AttemptRecord, storage::Cursor};

/// A statement has so many rows at most, and beyond `FINE` a multiple of it: a batch is two statements where it is
/// not huge, and there are few texts, which are prepared once each.
const MOST_ROWS: usize = 128;
const FINE: usize = 16;

type Bound = Query<'static, sqlx::Sqlite, SqliteArguments>;

/// The texts of the statements that were needed so far.
#[derive(Default)]
pub(super) struct Texts(HashMap<Shape, Arc<str>>);

/// What a text depends on.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Shape {
    kind: Kind,
    rows: usize,
    /// How it inserts.
    insert: &'static str,
    /// What goes before and after that, so that it needs no trip of its own.
    before: &'static str,
    after: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Events,
    Cursors,
    Attempts(Writing),
}

const ALONE: &str = "INSERT INTO";
/// In a transaction that is rolled back as a whole where a row is refused. Otherwise SQLite copies each page that a
/// statement changes, to be able to undo that statement alone, and beyond 64 KiB of them into a temporary file
/// (sqlite.org/tempfiles.html, "Statement Journal Files").
const FRAMED: &str = "INSERT OR FAIL INTO";

/// How a transaction begins and ends, where it has more than one statement.
struct Frame {
    begin: &'static str,
    commit: &'static str,
    /// Whether a single statement needs them, too.
    always: bool,
}

const DURABLE: Frame = Frame {
    begin: "BEGIN IMMEDIATE; ",
    commit: "; COMMIT",
    always: false,
};

/// The commit does not wait for the disk.
const RELAXED: Frame = Frame {
    begin: "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE; ",
    commit: "; COMMIT; PRAGMA synchronous = FULL",
    always: true,
};
const RESTORE: &str = "PRAGMA synchronous = FULL";

pub(super) async fn write_batch(
    connection: &mut SqliteConnection,
    texts: &mut Texts,
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
    texts: &mut Texts,
    rows: &[AttemptRecord],
    writing: Writing,
) -> Result<(), StatementError> {
    let statements: Vec<Rows<'_>> = pieces(rows).map(|rows| Rows::Attempts(rows, writing)).collect();
    let written = write(connection, texts, &statements, &RELAXED).await;
    if written.is_err() {
        // Never commit an event on a connection that may not wait for the disk.
        let restored = sqlx::query(RESTORE).execute(connection).await;
        restored.map_err(|error| StatementError::Unknown(wrapped(error)))?;
    }
    written
}

pub(super) async fn checkpoint(connection: &mut SqliteConnection, mode: Mode) -> Result<Frames, DbErr> {
    let query = sqlx::query_as(mode.sql());
    let row: Option<FramesRow> = query.fetch_optional(connection).await.map_err(wrapped)?;
    row.map(Frames::of)
        .ok_or_else(|| DbErr::Custom("SQLite has no write-ahead log".to_owned()))
}

async fn write(
    connection: &mut SqliteConnection,
    texts: &mut Texts,
    statements: &[Rows<'_>],
    frame: &Frame,
) -> Result<(), StatementError> {
    let is_framed = statements.len() > 1 || frame.always;
    for (index, rows) in statements.iter().enumerate() {
        let (is_first, is_last) = (index == 0, index + 1 == statements.len());
        let text = texts.of(
            *rows,
            if is_framed { FRAMED } else { ALONE },
            if is_framed && is_first { frame.begin } else { "" },
            if is_framed && is_last { frame.commit } else { "" },
        );
        let bound = rows.bind(sqlx::query(AssertSqlSafe(text)));
        if let Err(error) = bound.execute(&mut *connection).await {
            return Err(roll_back(connection, error, is_framed).await);
        }
    }
    Ok(())
}

async fn roll_back(connection: &mut SqliteConnection, error: SqlxError, is_framed: bool) -> StatementError {
    if is_framed && let Err(worse) = sqlx::query("ROLLBACK").execute(connection).await {
        log::error!(error:% = worse; "a transaction cannot be rolled back");
        return StatementError::Unknown(wrapped(error));
    }
    StatementError::RolledBack(wrapped(error))
}

/// As many rows as one statement takes, one after the other.
fn pieces<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let rounded = match rows.len() {
            0 => return None,
            few @ 1..=FINE => few,
            many => (many / FINE * FINE).min(MOST_ROWS),
        };
        let (piece, rest) = rows.split_at(rounded);
        rows = rest;
        Some(piece)
    })
}

impl Texts {
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
            assert!(pieces.len() <= count / MOST_ROWS + 2, "{count}");
            assert!(
                pieces
                    .iter()
                    .all(|piece| piece.len() <= FINE || piece.len() % FINE == 0)
            );
        }
    }
}
