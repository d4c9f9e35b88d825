//! The history of attempts: written in transactions of its own, after the settlements.

use std::time::{Duration, Instant};

use super::command::AttemptRecord;

/// Rows after which the history is written without waiting longer. The more there are at once, the more of them share a
/// page of the database; a publisher that comes meanwhile waits for a few milliseconds.
const ENOUGH: usize = 2048;
/// How long a lone row waits for company.
const PATIENCE: Duration = Duration::from_millis(100);
/// What is kept while the database is away; beyond it the oldest are dropped, and counted in the log.
const MOST: usize = 20_000;

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

    /// Takes the rows, to be written at once: in the order of their key, so that each page is looked for once.
    pub(super) fn take(&mut self) -> Vec<AttemptRecord> {
        self.since = None;
        let mut rows = std::mem::take(&mut self.rows);
        rows.sort_unstable_by_key(|row| (row.event_id, row.installation_id, row.id));
        rows
    }
}
