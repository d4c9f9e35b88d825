//! How long the database has been away, and what was said of it.

use std::time::{Duration, Instant};

/// The first pause before an attempt that follows a failed one; doubled with each, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(1);
/// How often a lasting outage is mentioned in the log.
const REMIND_EVERY: Duration = Duration::from_secs(30);

/// How long it has lasted and what was said of it.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// Losses and failed attempts since the connection was last well.
    pub(super) strikes: u32,
    pub(super) since: Option<Instant>,
    pub(super) told_at: Option<Instant>,
    /// Until when the loss may be one that nobody is to see.
    pub(super) patient_until: Option<Instant>,
}

impl Outage {
    /// Something was committed, or answered without: the connection is well.
    pub(super) fn over(&mut self) {
        self.strikes = 0;
    }

    /// No pause after the first loss: mostly the database is there.
    pub(super) fn pause(&self) -> Duration {
        match self.strikes {
            0 | 1 => Duration::ZERO,
            strikes => FIRST_PAUSE
                .saturating_mul(1 << (strikes - 2).min(8))
                .min(LAST_PAUSE),
        }
    }

    /// Whether it is the first since the connection was well.
    pub(super) fn is_first(&self) -> bool {
        self.strikes == 1
    }

    pub(super) fn strike(&mut self, now: Instant) {
        self.strikes = self.strikes.saturating_add(1);
        self.since.get_or_insert(now);
    }

    pub(super) fn tell(&mut self, cause: &str, now: Instant) {
        let lately = |at: Instant| now.saturating_duration_since(at) < REMIND_EVERY;
        if self.told_at.is_some_and(lately) {
            return;
        }
        self.told_at = Some(now);
        let seconds = self
            .since
            .map_or(0, |since| now.saturating_duration_since(since).as_secs());
        log::error!(seconds; "no connection to the database: {cause}");
    }
}

#[cfg(test)]
mod tests {
    use pointsman_clock::Clock;

    use super::*;

    #[test]
    pub(super) fn pauses_grow_until_something_is_committed() {
        let mut outage = Outage::default();
        let mut seen = Vec::new();
        for _ in 0..6 {
            outage.strike(Clock.instant());
            seen.push(outage.pause().as_millis());
        }
        assert_eq!(seen, [0, 200, 400, 800, 1000, 1000]);
        assert!(!outage.is_first());
        outage.over();
        outage.strike(Clock.instant());
        assert!(outage.is_first());
        outage.over();
        assert_eq!(outage.pause(), Duration::ZERO);
    }
}
