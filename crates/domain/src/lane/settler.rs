//! The settler: when a settlement is due.

use std::time::Duration;

use super::LaneConfig;
use crate::{seq::Seq, timestamp::Timestamp};

#[derive(Debug)]
pub(super) struct Settler {
    /// How long delivered events may wait for their settlement.
    settle_after: Duration,
    /// How often a cursor is written that only passes events that are not due.
    lazy_cursor_every: Duration,
    /// Since when there is something delivered that no settlement was issued for.
    settleable_since: Option<Timestamp>,
    /// When the last settlement was issued.
    issued_at: Timestamp,
}

/// What there is to settle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unsettled {
    /// How far a settlement may move the cursor.
    pub(super) settleable: Seq,
    /// The durable cursor.
    pub(super) durable: Seq,
    /// The first delivery that was started and that the durable cursor has not passed.
    pub(super) first_started: Option<Seq>,
    /// Rows of the retry table wait to be written or removed.
    pub(super) has_rows: bool,
    /// A settlement is outstanding: the next one waits for it.
    pub(super) is_outstanding: bool,
}

impl Unsettled {
    fn has_deliveries(&self) -> bool {
        self.first_started.is_some_and(|first| first <= self.settleable)
    }
}

/// What does not let a settlement wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Urgency {
    /// What is delivered is settled at once.
    pub(super) is_pressing: bool,
    /// No event starts any more: the cursor is written at once even if it only passes events that are not due.
    pub(super) is_ending: bool,
}

impl Settler {
    pub(super) fn new(config: &LaneConfig, now: Timestamp) -> Self {
        Self {
            settle_after: config.settle_after,
            lazy_cursor_every: config.lazy_cursor_every,
            settleable_since: None,
            issued_at: now,
        }
    }

    /// Whether a settlement of everything there is has to be issued now. If so, it counts as issued.
    pub(super) fn issues(&mut self, unsettled: Unsettled, urgency: Urgency, now: Timestamp) -> bool {
        if unsettled.is_outstanding {
            return false;
        }
        self.settleable_since = unsettled
            .has_deliveries()
            .then(|| self.settleable_since.unwrap_or(now));
        let is_due = unsettled.has_rows
            || self
                .settleable_since
                .is_some_and(|since| urgency.is_pressing || since + self.settle_after <= now)
            || self
                .lazy_at(unsettled)
                .is_some_and(|at| urgency.is_ending || at <= now);
        if is_due {
            self.settleable_since = None;
            self.issued_at = now;
        }
        is_due
    }

    /// The times at which a settlement that is not due yet becomes due.
    pub(super) fn due_at(&self, unsettled: Unsettled) -> impl Iterator<Item = Timestamp> {
        let deliveries = self.settleable_since.map(|since| since + self.settle_after);
        [self.lazy_at(unsettled), deliveries]
            .into_iter()
            .flatten()
            .filter(move |_| !unsettled.is_outstanding)
    }

    /// When a cursor is to be written that may only have passed events that are not due.
    fn lazy_at(&self, unsettled: Unsettled) -> Option<Timestamp> {
        (unsettled.settleable > unsettled.durable).then(|| self.issued_at + self.lazy_cursor_every)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(0);
    const MILLI: Duration = Duration::from_millis(1);
    const RELAXED: Urgency = Urgency {
        is_pressing: false,
        is_ending: false,
    };
    /// Event 1 is delivered.
    const DELIVERED: Unsettled = Unsettled {
        settleable: Seq::new(1),
        durable: Seq::ZERO,
        first_started: Some(Seq::new(1)),
        has_rows: false,
        is_outstanding: false,
    };
    /// Event 1 was not due.
    const NOT_DUE: Unsettled = Unsettled {
        first_started: None,
        ..DELIVERED
    };

    fn settler() -> Settler {
        let mut config = super::super::tests::config(16, 4);
        config.settle_after = 50 * MILLI;
        config.lazy_cursor_every = 1_000 * MILLI;
        Settler::new(&config, NOW)
    }

    #[test]
    fn deliveries_wait_for_company_but_only_for_a_while() {
        let mut settler = settler();
        assert!(!settler.issues(DELIVERED, RELAXED, NOW + 7 * MILLI));
        assert_eq!(settler.due_at(DELIVERED).min(), Some(NOW + 57 * MILLI));
        assert!(!settler.issues(DELIVERED, RELAXED, NOW + 56 * MILLI));
        assert!(settler.issues(DELIVERED, RELAXED, NOW + 57 * MILLI));
    }

    #[test]
    fn rows_and_pressing_deliveries_do_not_wait() {
        let pressing = Urgency {
            is_pressing: true,
            ..RELAXED
        };
        assert!(settler().issues(DELIVERED, pressing, NOW));
        let has_rows = Unsettled {
            has_rows: true,
            settleable: Seq::ZERO,
            ..DELIVERED
        };
        assert!(settler().issues(has_rows, RELAXED, NOW));
    }

    #[test]
    fn a_cursor_that_passes_nothing_due_waits_longer_unless_the_lane_is_ending() {
        let mut settler = settler();
        let pressing = Urgency {
            is_pressing: true,
            ..RELAXED
        };
        assert!(!settler.issues(NOT_DUE, pressing, NOW + 999 * MILLI));
        assert!(settler.issues(NOT_DUE, RELAXED, NOW + 1_000 * MILLI));
        assert!(
            !settler.issues(NOT_DUE, RELAXED, NOW + 1_999 * MILLI),
            "counted anew"
        );
        let ending = Urgency {
            is_ending: true,
            ..RELAXED
        };
        assert!(settler.issues(NOT_DUE, ending, NOW + 1_999 * MILLI));
    }

    #[test]
    fn only_one_settlement_is_outstanding() {
        let outstanding = Unsettled {
            is_outstanding: true,
            has_rows: true,
            ..DELIVERED
        };
        let mut settler = settler();
        assert!(!settler.issues(outstanding, RELAXED, NOW + 5_000 * MILLI));
        assert_eq!(settler.due_at(outstanding).count(), 0);
    }
}
