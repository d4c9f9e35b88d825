//! The history of attempts: written in transactions of its own, after the settlements.

use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, Value};

use super::{
    batch::count,
    command::AttemptRecord,
    sql::{multi_row, power_of_two_chunks},
    storage::Outcome,
    transaction::in_transaction,
};

/// Rows after which the history is written without waiting longer.
const ENOUGH: usize = 512;
/// How long a lone row waits for company.
const PATIENCE: Duration = Duration::from_millis(100);
/// What is kept while the database is away; beyond it the oldest are dropped, and counted in the log.
const MOST: usize = 20_000;
const ROWS_PER_STATEMENT: usize = 128;

#[derive(Default)]
pub(super) struct AttemptBuffer {
    rows: Vec<AttemptRecord>,
    since: Option<Instant>,
}

impl AttemptBuffer {
    pub(super) fn add(&mut self, rows: &mut Vec<AttemptRecord>, now: Instant) {
        if rows.is_empty() {
            return;
        }
        self.since.get_or_insert(now);
        self.rows.append(rows);
        if self.rows.len() > MOST {
            let dropped = self.rows.len() - MOST;
            self.rows.drain(..dropped);
            log::warn!(dropped; "the history of attempts is behind; its oldest rows are dropped");
        }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.rows.len() >= ENOUGH || self.wait(now) == Some(Duration::ZERO)
    }

    /// How long until the rows are due; none where there are none.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        self.since
            .map(|since| (since + PATIENCE).saturating_duration_since(now))
    }

    /// Takes the rows, to be written at once.
    pub(super) fn take(&mut self) -> Vec<AttemptRecord> {
        self.since = None;
        std::mem::take(&mut self.rows)
    }
}

/// Writes the rows in a transaction of their own.
pub(super) async fn write_all(connection: &DatabaseConnection, rows: &[AttemptRecord]) -> Outcome<(), DbErr> {
    let sqlite = connection.get_database_backend() == DbBackend::Sqlite;
    // Nothing depends on these rows, so that their commit need not wait for the disk.
    if sqlite
        && connection
            .execute_unprepared("PRAGMA synchronous = NORMAL")
            .await
            .is_err()
    {
        log::warn!("the synchronous mode of the database could not be changed");
    }
    let outcome = in_transaction(connection, async |transaction| write(transaction, rows).await).await;
    if sqlite
        && connection
            .execute_unprepared("PRAGMA synchronous = FULL")
            .await
            .is_err()
    {
        // Never commit an event on a connection that may not wait for the disk.
        log::error!("the synchronous mode of the database could not be restored");
        return Outcome::Unknown;
    }
    outcome
}

async fn write(transaction: &DatabaseTransaction, rows: &[AttemptRecord]) -> Result<(), DbErr> {
    let backend = transaction.get_database_backend();
    if backend == DbBackend::Postgres {
        transaction
            .execute_unprepared("SET LOCAL synchronous_commit = off")
            .await?;
    }
    for chunk in power_of_two_chunks(rows, ROWS_PER_STATEMENT) {
        let values: Vec<Value> = chunk.iter().flat_map(values_of).collect();
        let statement = multi_row(
            backend,
            "INSERT INTO ext_delivery_attempt (id, workspace_id, installation_id, event_id, handler, kind, number, outcome, \
             http_status, duration_ms, error, response, attempted_at) VALUES",
            13,
            chunk.len(),
            "",
            values,
        );
        transaction.execute_raw(statement).await?;
    }
    Ok(())
}

fn values_of(row: &AttemptRecord) -> [Value; 13] {
    [
        row.id.into(),
        row.workspace_id.uuid().into(),
        row.installation_id.uuid().into(),
        row.event_id.uuid().into(),
        row.handler.as_str().into(),
        row.kind.as_str().into(),
        count(row.number).into(),
        row.outcome.as_str().into(),
        row.http_status.map(i32::from).into(),
        row.duration_ms.into(),
        // PostgreSQL takes no NUL in a text, and a service may answer anything.
        row.error
            .as_ref()
            .map(|text| text.replace('\0', "\u{fffd}"))
            .into(),
        row.response
            .as_ref()
            .map(|text| text.replace('\0', "\u{fffd}"))
            .into(),
        row.attempted_at.millis().into(),
    ]
}
