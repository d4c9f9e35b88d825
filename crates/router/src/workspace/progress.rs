//! How far an installation has come that has no actor.

use crate::mail::workspace::Rest;
use pointsman_domain::{installation::InstallationView, seq::Seq, timestamp::Timestamp};

/// The durable cursor of an installation without an actor falls no further behind, so that a start has
/// little to read of what is not due to it. As many events as a ring holds.
const LONGEST_LAG: i64 = 4096;

/// Known while the installation has no actor; an actor knows better.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Up to here nothing is left to do but retries.
    done: Seq,
    /// A lower bound of the durable cursor.
    written: Seq,
    /// When to look at the retry table.
    next_retry_at: Option<Timestamp>,
}

impl Progress {
    pub(super) const fn done(&self) -> Seq {
        self.done
    }

    pub(super) const fn next_retry_at(&self) -> Option<Timestamp> {
        self.next_retry_at
    }

    /// The database says this of the installation.
    pub(super) fn note_view(&mut self, view: &InstallationView) {
        self.written = self.written.max(view.settled);
        self.done = self.done.max(self.written);
        if view.has_retries {
            // The view does not say when.
            self.next_retry_at = Some(Timestamp::default());
        }
    }

    /// Its actor has stopped for want of work.
    pub(super) fn note_rest(&mut self, rest: Rest) {
        self.done = self.done.max(rest.done);
        self.written = self.written.max(rest.written);
        self.next_retry_at = rest.next_retry_at;
    }

    /// A row was added to the retry table.
    pub(super) fn note_retry(&mut self, at: Timestamp) {
        self.next_retry_at = Some(self.next_retry_at.map_or(at, |next| next.min(at)));
    }

    /// The log holds nothing due to the installation after `known` up to `head`. Where the installation has not come as
    /// far as `known`, this says nothing about what lies between.
    pub(super) fn note_nothing_due(&mut self, known: Seq, head: Seq) {
        if self.done >= known {
            self.done = self.done.max(head);
        }
    }

    /// Whether something may be due or a retry waits.
    pub(super) fn has_any(&self, head: Seq) -> bool {
        self.next_retry_at.is_some() || self.done < head
    }

    pub(super) fn has_retry_by(&self, now: Timestamp) -> bool {
        self.next_retry_at.is_some_and(|next| next <= now)
    }

    /// Whether the durable cursor stands before `head`, so that the waker would find it.
    pub(super) fn lags(&self, head: Seq) -> bool {
        self.written < head
    }

    /// Whether the durable cursor is so far behind that it has to be moved.
    pub(super) fn lags_far(&self, head: Seq) -> bool {
        head.get().saturating_sub(self.written.get()) > LONGEST_LAG
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::MessagesHandled;

    fn at_rest(done: i64, written: i64) -> Progress {
        let mut progress = Progress::default();
        progress.note_rest(Rest {
            done: Seq::new(done),
            written: Seq::new(written),
            next_retry_at: None,
            handled: MessagesHandled::default(),
        });
        progress
    }

    #[test]
    fn what_is_not_due_is_passed_only_from_where_the_installation_stands() {
        let mut progress = at_rest(5, 5);
        progress.note_nothing_due(Seq::new(6), Seq::new(9));
        assert_eq!(progress.done(), Seq::new(5), "the sixth event may be due");
        progress.note_nothing_due(Seq::new(5), Seq::new(9));
        assert_eq!(progress.done(), Seq::new(9));
        assert!(!progress.has_any(Seq::new(9)));
    }

    #[test]
    fn the_earliest_retry_counts() {
        let mut progress = at_rest(5, 5);
        progress.note_retry(Timestamp::from_millis(20));
        progress.note_retry(Timestamp::from_millis(10));
        progress.note_retry(Timestamp::from_millis(30));
        assert!(!progress.has_retry_by(Timestamp::from_millis(9)));
        assert!(progress.has_retry_by(Timestamp::from_millis(10)));
        assert!(progress.has_any(Seq::new(5)));
    }

    #[test]
    fn the_durable_cursor_lags_where_nothing_was_due() {
        let progress = at_rest(5_000, 900);
        assert!(progress.lags(Seq::new(901)));
        assert!(!progress.lags_far(Seq::new(900 + LONGEST_LAG)));
        assert!(progress.lags_far(Seq::new(901 + LONGEST_LAG)));
    }
}
