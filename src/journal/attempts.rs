//! The history of attempts: written in transactions of its own, after the settlements.

use std::{
    cmp::Reverse,
    time::{Duration, Instant},
};

use super::command::AttemptRecord;

/// Rows after which the history is written without waiting longer. The more there are at once, the more of them share a
/// page of the database.
const ENOUGH: usize = 2048;
/// Rows of one transaction: publishers that come meanwhile wait for it.
const PIECE: usize = 512;
/// How long a lone row waits for company.
const PATIENCE: Duration = Duration::from_millis(100);
/// What is kept while the database is away; beyond it the oldest are dropped, and counted in the log.
const MOST: usize = 20_000;

#[derive(Default)]
pub(super) struct AttemptBuffer {
    rows: Vec<AttemptRecord>,
    since: Option<Instant>,
    /// What is being written, in the order of its key, the first at the end.
    due: Vec<AttemptRecord>,
}

impl AttemptBuffer {
    pub(super) fn add(&mut self, rows: &mut Vec<AttemptRecord>, now: Instant) {
        if rows.is_empty() {
            return;
        }
        self.since.get_or_insert(now);
        self.rows.append(rows);
        let dropped = (self.due.len() + self.rows.len()).saturating_sub(MOST);
        if dropped > 0 {
            let due = dropped.min(self.due.len());
            self.due.truncate(self.due.len() - due);
            self.rows.drain(..dropped - due);
            log::warn!(dropped; "the history of attempts is behind; its oldest rows are dropped");
        }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.rows.len() >= ENOUGH || self.wait(now) == Some(Duration::ZERO)
    }

    /// How long until rows are due; none where there are none.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        if !self.due.is_empty() {
            return Some(Duration::ZERO);
        }
        self.since
            .map(|since| (since + PATIENCE).saturating_duration_since(now))
    }

    /// Takes the rows of one transaction; none where there are none. Those that are due together come in the order of
    /// their key, so that each page is looked for once.
    pub(super) fn take(&mut self) -> Vec<AttemptRecord> {
        if self.due.is_empty() {
            self.since = None;
            self.due = std::mem::take(&mut self.rows);
            self.due
                .sort_unstable_by_key(|row| Reverse((row.event_id, row.installation_id, row.id)));
        }
        let rest = self.due.len().saturating_sub(PIECE);
        let mut rows = self.due.split_off(rest);
        rows.reverse();
        rows
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        clock::Clock,
        domain::{
            attempt::{AttemptOutcome, DeliveryKind},
            handler_name::HandlerName,
            id::{EventId, InstallationId, WorkspaceId},
            timestamp::Timestamp,
        },
    };

    fn attempt(id: u128) -> AttemptRecord {
        AttemptRecord {
            id: Uuid::from_u128(id),
            workspace_id: WorkspaceId::new(Uuid::nil()),
            installation_id: InstallationId::new(Uuid::nil()),
            event_id: EventId::new(Uuid::nil()),
            handler: HandlerName::WHOLE,
            kind: DeliveryKind::Live,
            number: 1,
            outcome: AttemptOutcome::Delivered,
            http_status: None,
            duration_ms: 1,
            error: None,
            response: None,
            attempted_at: Timestamp::from_millis(0),
        }
    }

    fn ids(rows: &[AttemptRecord]) -> Vec<u128> {
        rows.iter().map(|row| row.id.as_u128()).collect()
    }

    #[test]
    fn all_that_is_due_comes_in_the_order_of_its_key_a_piece_at_a_time() {
        let (mut buffer, now) = (AttemptBuffer::default(), Clock.instant());
        buffer.add(&mut (1..=1300).rev().map(attempt).collect(), now);
        assert!(!buffer.is_due(now) && buffer.is_due(now + PATIENCE));
        assert_eq!(ids(&buffer.take()), (1..=512).collect::<Vec<_>>());
        buffer.add(&mut vec![attempt(0)], now);
        assert_eq!(buffer.wait(now), Some(Duration::ZERO), "the rest is due");
        assert_eq!(ids(&buffer.take()), (513..=1024).collect::<Vec<_>>());
        assert_eq!(ids(&buffer.take()), (1025..=1300).collect::<Vec<_>>());
        assert_eq!(buffer.wait(now), Some(PATIENCE), "what came meanwhile is not");
        assert_eq!(ids(&buffer.take()), [0]);
        assert!(buffer.take().is_empty() && buffer.wait(now).is_none());
    }

    #[test]
    fn enough_is_due_at_once() {
        let (mut buffer, now) = (AttemptBuffer::default(), Clock.instant());
        buffer.add(&mut (1..2048).map(attempt).collect(), now);
        assert!(!buffer.is_due(now));
        buffer.add(&mut vec![attempt(0)], now);
        assert!(buffer.is_due(now));
    }
    #[test]
    fn the_oldest_are_dropped_beyond_the_most_that_is_kept() {
        let (mut buffer, now) = (AttemptBuffer::default(), Clock.instant());
        buffer.add(&mut (1..=1000).map(attempt).collect(), now);
        assert_eq!(ids(&buffer.take()), (1..=512).collect::<Vec<_>>());
        buffer.add(&mut (1001..=20_600).map(attempt).collect(), now);
        let mut kept = Vec::new();
        while buffer.wait(now).is_some() {
            kept.extend(ids(&buffer.take()));
        }
        assert_eq!(kept, (601..=20_600).collect::<Vec<_>>());
    }
}
