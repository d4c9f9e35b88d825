//! The breaker: what a lane does about a service that fails again and again.

use std::time::Duration;

use super::BreakerState;
use crate::domain::{retry_schedule::RetrySchedule, timestamp::Timestamp};

/// The pause before the first probe; each probe that fails doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between two probes.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

/// Counts failures in a row. Once there are enough it is open: one attempt at a time is let through, a probe,
/// with growing pauses between them. Any success closes it.
#[derive(Debug)]
pub(super) struct Breaker {
    /// Failures in a row that open it; `None` where there is no breaker.
    threshold: Option<u32>,
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    since: Timestamp,
    /// Between the last probe, or the opening, and the next.
    pause: Duration,
    next_probe_at: Timestamp,
    /// A probe is in flight. Attempts that were in flight when the breaker opened are no probes: that they
    /// fail is no news.
    probing: bool,
}

impl Breaker {
    /// A threshold of 0 counts as 1.
    pub(super) fn new(threshold: Option<u32>) -> Self {
        Self {
            threshold: threshold.map(|failures| failures.max(1)),
            failures: 0,
            open: None,
        }
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.open {
            None => BreakerState::Closed,
            Some(Open {
                since, next_probe_at, ..
            }) => BreakerState::Open { since, next_probe_at },
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    pub(super) fn open_since(&self) -> Option<Timestamp> {
        self.open.as_ref().map(|open| open.since)
    }

    /// The time before which nothing may start; `None` when there is no such time.
    pub(super) fn next_probe_at(&self) -> Option<Timestamp> {
        self.open.as_ref().map(|open| open.next_probe_at)
    }

    /// An attempt starts.
    pub(super) fn started(&mut self) {
        if let Some(open) = &mut self.open {
            open.probing = true;
        }
    }

    /// An attempt was delivered.
    pub(super) fn succeeded(&mut self) {
        self.reset();
    }

    /// An attempt failed. True if that has opened the breaker.
    pub(super) fn failed(&mut self, now: Timestamp) -> bool {
        self.failures = self.failures.saturating_add(1);
        if let Some(open) = &mut self.open {
            if open.probing {
                open.pause = open.pause.saturating_mul(2).min(LONGEST_PAUSE);
                open.pause_from(now);
            }
            return false;
        }
        if self.threshold.is_none_or(|threshold| self.failures < threshold) {
            return false;
        }
        self.open = Some(Open {
            since: now,
            pause: FIRST_PAUSE,
            next_probe_at: now + FIRST_PAUSE,
            probing: false,
        });
        true
    }

    /// The service refused a delivery for good. It has answered, so that this is no failure, but it has
    /// taken nothing either: an open breaker stays open and tries another delivery after the same pause.
    pub(super) fn refused(&mut self, now: Timestamp) {
        if let Some(open) = self.open.as_mut().filter(|open| open.probing) {
            open.pause_from(now);
        }
    }

    /// Closes it and forgets the failures.
    pub(super) fn reset(&mut self) {
        (self.failures, self.open) = (0, None);
    }
}

impl Open {
    fn pause_from(&mut self, now: Timestamp) {
        self.probing = false;
        self.next_probe_at = now + self.pause;
    }
}

/// How long a delivery may be held by an open breaker: as long as its whole schedule would take. Without a
/// schedule there is no such time, and everything would be dead at once for one bad moment: then it is the
/// longest pause between two probes, so that several probes come before.
pub(super) fn longest_hold(schedule: &RetrySchedule) -> Duration {
    let total = schedule.total();
    if total.is_zero() { LONGEST_PAUSE } else { total }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(0) + Duration::from_secs(seconds)
    }

    /// A breaker that has opened at 0 s.
    fn opened() -> Breaker {
        let mut breaker = Breaker::new(Some(3));
        let opened: Vec<bool> = (0..3).map(|_| breaker.failed(at(0))).collect();
        assert_eq!(opened, [false, false, true]);
        breaker
    }

    fn probe_fails(breaker: &mut Breaker, now: Timestamp) {
        breaker.started();
        breaker.failed(now);
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_a_success_between_them_starts_the_count_anew() {
        let mut breaker = Breaker::new(Some(3));
        breaker.failed(at(0));
        breaker.failed(at(0));
        breaker.succeeded();
        breaker.failed(at(0));
        breaker.failed(at(0));
        assert_eq!(breaker.state(), BreakerState::Closed);
        breaker.failed(at(7));
        let (since, next_probe_at) = (at(7), at(8));
        assert_eq!(breaker.state(), BreakerState::Open { since, next_probe_at });
    }

    #[test]
    fn without_a_threshold_it_never_opens() {
        let mut breaker = Breaker::new(None);
        (0..10_000).for_each(|_| assert!(!breaker.failed(at(0))));
        assert!(!breaker.is_open());
    }

    #[test]
    fn pauses_double_from_a_second_to_five_minutes() {
        let mut breaker = opened();
        let mut now = at(0);
        let pauses: Vec<_> = (0..12)
            .map(|_| {
                let next = breaker.next_probe_at().unwrap();
                let pause = next.since(now).as_secs();
                now = next;
                probe_fails(&mut breaker, now);
                pause
            })
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(breaker.open_since(), Some(at(0)));
    }

    #[test]
    fn what_was_in_flight_when_it_opened_does_not_put_the_first_probe_off() {
        let mut breaker = opened();
        (0..60).for_each(|_| assert!(!breaker.failed(at(0))));
        assert_eq!(breaker.next_probe_at(), Some(at(1)));
    }

    #[test]
    fn a_refusal_neither_closes_it_nor_makes_the_pause_longer() {
        let mut breaker = opened();
        breaker.started();
        breaker.refused(at(10));
        assert_eq!(breaker.next_probe_at(), Some(at(11)));
    }

    #[test]
    fn a_success_closes_it_and_the_next_opening_starts_with_short_pauses() {
        let mut breaker = opened();
        probe_fails(&mut breaker, at(1));
        breaker.started();
        breaker.succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
        (0..2).for_each(|_| assert!(!breaker.failed(at(50))));
        assert!(breaker.failed(at(50)));
        assert_eq!(breaker.next_probe_at(), Some(at(51)));
    }

    #[test]
    fn it_holds_as_long_as_the_schedule_takes_and_without_one_for_five_minutes() {
        let second = Duration::from_secs(1);
        let hold = |delays| longest_hold(&RetrySchedule::new(delays, 0.5));
        assert_eq!(hold(vec![second, 5 * second]), 6 * second);
        assert_eq!(hold(vec![]), LONGEST_PAUSE);
    }
}
