//! The rows of the history of attempts that wait. They are written in transactions of their own, after the settlements.

use std::{
    cmp::Reverse,
    time::{Duration, Instant},
};

use super::command::AttemptRecord;
use pointsman_domain::id::EventId;

/// With so many rows the history is written without waiting longer. The more rows are written at once, the more of them
/// share a page of the database.
const ENOUGH: usize = 2048;
/// Rows of one transaction, at most: publishers that come meanwhile wait for it.
const PIECE: usize = 512;
/// How long a row waits at most for others.
const PATIENCE: Duration = Duration::from_millis(100);
/// Rows kept while the database is away. Beyond it the oldest are dropped; the log says how many.
const MOST: usize = 20_000;

/// Pieces that the database may refuse of the rows that are due together. Each refused row costs up to ten of them.
/// Beyond it every refused piece is given up, without a search for the row at fault.
const MOST_REFUSALS: u32 = 100;

#[derive(Default)]
pub(crate) struct AttemptBuffer {
    rows: Vec<AttemptRecord>,
    since: Option<Instant>,
    /// The rows that are due, in the order of their key; the last element is written next.
    due: Vec<AttemptRecord>,
    /// Written before the rows that are due: halves of refused pieces, and a lost piece. The last element is
    /// written next.
    again: Vec<Piece>,
    /// Refused pieces of the rows that are due.
    refusals: u32,
}

/// Rows of one transaction.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) rows: Vec<AttemptRecord>,
    /// It was lost with a connection before, and may have been recorded.
    pub(crate) was_lost: bool,
}

impl AttemptBuffer {
    pub(crate) fn add(&mut self, rows: &mut Vec<AttemptRecord>, now: Instant) {
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

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.rows.len() >= ENOUGH || self.wait(now) == Some(Duration::ZERO)
    }

    /// How long until rows are due; none where there are none.
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        if !self.due.is_empty() || !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        self.since
            .map(|since| (since + PATIENCE).saturating_duration_since(now))
    }

    /// Takes the rows of one transaction; none where there are none. Rows that are due together come in the order of
    /// their key, so that the database looks for each page once.
    pub(crate) fn take(&mut self) -> Option<Piece> {
        if let Some(piece) = self.again.pop() {
            return Some(piece);
        }
        if self.due.is_empty() {
            self.refusals = 0;
            self.since = None;
            self.due = std::mem::take(&mut self.rows);
            self.due
                .sort_unstable_by_key(|row| Reverse((row.event_id, row.installation_id, row.id)));
        }
        let rest = self.due.len().saturating_sub(PIECE);
        let mut rows = self.due.split_off(rest);
        rows.reverse();
        let was_lost = false;
        (!rows.is_empty()).then_some(Piece { rows, was_lost })
    }

    /// The payload of the event was erased: takes what quotes it out of the rows.
    pub(crate) fn erase(&mut self, event: EventId) {
        let again = self.again.iter_mut().flat_map(|piece| &mut piece.rows);
        let rows = self.rows.iter_mut().chain(&mut self.due).chain(again);
        rows.filter(|row| row.event_id == event)
            .for_each(AttemptRecord::erase);
    }

    /// The database refuses a row of the piece. Halves the piece until the row at fault stands alone. Returns the rows
    /// that are given up.
    pub(crate) fn refused(&mut self, mut piece: Piece) -> Vec<AttemptRecord> {
        self.refusals += 1;
        if piece.rows.len() == 1 || self.refusals > MOST_REFUSALS {
            return piece.rows;
        }
        let rows = piece.rows.split_off(piece.rows.len() / 2);
        let was_lost = piece.was_lost;
        self.again.push(Piece { rows, was_lost });
        self.again.push(piece);
        Vec::new()
    }

    /// The piece was lost with the connection. It is written once more on the next connection. A piece that is lost for
    /// the second time is given up and returned: it may be what ends the connections.
    pub(crate) fn lost(&mut self, piece: Piece) -> Vec<AttemptRecord> {
        if piece.was_lost {
            return piece.rows;
        }
        self.again.push(Piece {
            was_lost: true,
            ..piece
        });
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use pointsman_clock::Clock;
    use pointsman_domain::{
        attempt::{AttemptOutcome, DeliveryKind},
        handler_name::HandlerName,
        id::{EventId, InstallationId, WorkspaceId},
        timestamp::Timestamp,
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

    fn next(buffer: &mut AttemptBuffer) -> Vec<u128> {
        buffer.take().map_or_else(Vec::new, |piece| ids(&piece.rows))
    }

    /// Writes all that is due to a database that refuses these. Returns what it took, what was given up, and how many
    /// pieces it was asked to take.
    fn write_all(
        buffer: &mut AttemptBuffer,
        is_refused: impl Fn(u128) -> bool,
    ) -> (Vec<u128>, Vec<u128>, usize) {
        let (mut taken, mut given_up, mut asked) = (Vec::new(), Vec::new(), 0);
        while let Some(piece) = buffer.take() {
            asked += 1;
            if piece.rows.iter().any(|row| is_refused(row.id.as_u128())) {
                given_up.extend(ids(&buffer.refused(piece)));
            } else {
                taken.extend(ids(&piece.rows));
            }
        }
        (taken, given_up, asked)
    }

    #[test]
    fn who_is_refused_stands_alone() {
        let (mut buffer, now) = (AttemptBuffer::default(), Clock.instant());
        buffer.add(&mut (0..1300).map(attempt).collect(), now);
        let (taken, given_up, asked) = write_all(&mut buffer, |id| matches!(id, 7 | 600 | 601));
        assert_eq!(given_up, [7, 600, 601]);
        assert_eq!(
            taken,
            (0..1300)
                .filter(|id| !matches!(id, 7 | 600 | 601))
                .collect::<Vec<_>>()
        );
        assert!(asked < 60, "{asked}");
    }

    #[test]
    fn a_database_that_refuses_all_of_it_is_not_asked_for_ever() {
        let (mut buffer, now) = (AttemptBuffer::default(), Clock.instant());
        buffer.add(&mut (0..1300).map(attempt).collect(), now);
        let (taken, given_up, asked) = write_all(&mut buffer, |_| true);
        assert!(taken.is_empty());
        assert_eq!(given_up, (0..1300).collect::<Vec<_>>());
        assert!(asked < 120, "{asked}");
        buffer.add(&mut (0..600).map(attempt).collect(), now);
        assert_eq!(
            write_all(&mut buffer, |id| id == 7).1,
            [7],
            "what is due next is halved again"
        );
    }

    #[test]
    fn what_is_lost_is_written_once_more_and_before_the_rest() {
        let (mut buffer, now) = (AttemptBuffer::default(), Clock.instant());
        buffer.add(&mut (0..600).map(attempt).collect(), now);
        let piece = buffer.take().unwrap();
        assert!(buffer.lost(piece).is_empty());
        assert_eq!(buffer.wait(now), Some(Duration::ZERO));
        let piece = buffer.take().unwrap();
        assert_eq!(ids(&piece.rows), (0..512).collect::<Vec<_>>());
        assert_eq!(ids(&buffer.lost(piece)), (0..512).collect::<Vec<_>>());
        assert_eq!(next(&mut buffer), (512..600).collect::<Vec<_>>());
        assert!(buffer.take().is_none());
    }

    #[test]
    fn all_that_is_due_comes_in_the_order_of_its_key_a_piece_at_a_time() {
        let (mut buffer, now) = (AttemptBuffer::default(), Clock.instant());
        buffer.add(&mut (1..=1300).rev().map(attempt).collect(), now);
        assert!(!buffer.is_due(now) && buffer.is_due(now + PATIENCE));
        assert_eq!(next(&mut buffer), (1..=512).collect::<Vec<_>>());
        buffer.add(&mut vec![attempt(0)], now);
        assert_eq!(buffer.wait(now), Some(Duration::ZERO), "the rest is due");
        assert_eq!(next(&mut buffer), (513..=1024).collect::<Vec<_>>());
        assert_eq!(next(&mut buffer), (1025..=1300).collect::<Vec<_>>());
        assert_eq!(buffer.wait(now), Some(PATIENCE), "what came meanwhile is not");
        assert_eq!(next(&mut buffer), [0]);
        assert!(buffer.take().is_none() && buffer.wait(now).is_none());
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
        assert_eq!(next(&mut buffer), (1..=512).collect::<Vec<_>>());
        buffer.add(&mut (1001..=20_600).map(attempt).collect(), now);
        let mut kept = Vec::new();
        while buffer.wait(now).is_some() {
            kept.extend(next(&mut buffer));
        }
        assert_eq!(kept, (601..=20_600).collect::<Vec<_>>());
    }
}
