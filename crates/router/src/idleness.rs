//! When an actor that has nothing to do may stop.

use std::time::Duration;

use crate::alarm::LONGEST_SLEEP;
use pointsman_domain::timestamp::Timestamp;

/// Since when an actor has had nothing to do. It is looked at now and then, so that noting an activity costs next to
/// nothing.
#[derive(Debug)]
pub(crate) struct Idleness {
    /// How long an actor has nothing to do before it stops.
    patience: Duration,
    /// Something has happened since the last look.
    touched: bool,
    since: Timestamp,
}

impl Idleness {
    pub(crate) const fn new(now: Timestamp, patience: Duration) -> Self {
        Self {
            patience,
            touched: false,
            since: now,
        }
    }

    /// Something happens.
    pub(crate) const fn touch(&mut self) {
        self.touched = true;
    }

    /// Looks. An activity since the last look counts as if it happened now.
    pub(crate) fn look(&mut self, now: Timestamp) -> IdleLook {
        if std::mem::take(&mut self.touched) {
            self.since = now;
        }
        IdleLook {
            now,
            patience: self.patience,
            over_at: self.since + self.patience,
        }
    }

    /// An actor stays where it has something to do by this time: it would be started again too soon.
    pub(crate) fn horizon(&self, now: Timestamp) -> Timestamp {
        now + self.patience
    }
}

/// What a look at an [`Idleness`] has found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdleLook {
    now: Timestamp,
    patience: Duration,
    over_at: Timestamp,
}

impl IdleLook {
    /// Whether nothing has happened for as long as the actor's patience: it may stop.
    pub(crate) fn is_over(&self) -> bool {
        self.over_at <= self.now
    }

    /// When to look again.
    pub(crate) fn next(&self) -> Timestamp {
        self.now + self.patience.min(LONGEST_SLEEP)
    }

    /// When to look again at an actor that only waits until it may stop.
    pub(crate) fn next_at_rest(&self) -> Timestamp {
        if self.is_over() {
            self.next()
        } else {
            self.next().min(self.over_at)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_000_000);
    const PATIENCE: Duration = Duration::from_secs(10);

    fn after(seconds: u64) -> Timestamp {
        START + Duration::from_secs(seconds)
    }

    #[test]
    fn an_actor_may_stop_when_nothing_has_happened_for_as_long_as_its_patience() {
        let mut idleness = Idleness::new(START, PATIENCE);
        assert!(!idleness.look(after(9)).is_over());
        assert!(idleness.look(after(10)).is_over());
        idleness.touch();
        assert!(!idleness.look(after(11)).is_over(), "it counts from the look");
        assert!(!idleness.look(after(20)).is_over());
        assert!(idleness.look(after(21)).is_over());
    }

    #[test]
    fn an_actor_at_rest_is_looked_at_as_soon_as_it_may_stop() {
        let mut idleness = Idleness::new(START, PATIENCE);
        let look = idleness.look(after(4));
        assert_eq!(look.next(), after(14));
        assert_eq!(look.next_at_rest(), after(10));
        let look = idleness.look(after(10));
        assert_eq!(
            look.next_at_rest(),
            after(20),
            "it was asked to stop, and could not"
        );
        assert_eq!(idleness.horizon(after(10)), after(20));
    }

    #[test]
    fn the_next_look_comes_within_a_minute_however_long_the_patience() {
        let mut idleness = Idleness::new(START, Duration::from_secs(3600));
        let look = idleness.look(after(1));
        assert_eq!(look.next(), after(61));
        assert_eq!(look.next_at_rest(), after(61));
    }
}
