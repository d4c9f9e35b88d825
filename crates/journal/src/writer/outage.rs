//! How long the database has been away, and what was logged of it.

use std::time::{Duration, Instant};

use super::bounds::UNKNOWN_PATIENCE;

/// The pause before the second attempt at a new connection. It doubles with each attempt, up to `LAST_PAUSE`.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(1);
/// How often a lasting outage is logged.
const REMIND_EVERY: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Outage {
    /// Losses and failed attempts since the connection last committed or answered something.
    strikes: u32,
    since: Option<Instant>,
    logged_at: Option<Instant>,
    /// Until when the loss may stay hidden from publishers and operators.
    hidden_until: Option<Instant>,
}

impl Outage {
    /// The connection has committed or answered something: it works.
    pub(super) fn answered(&mut self) {
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

    /// Whether this is the first loss since the connection last worked.
    pub(super) const fn is_first(&self) -> bool {
        self.strikes == 1
    }

    /// Whether an outage lasts.
    pub(super) const fn lasts(&self) -> bool {
        self.since.is_some()
    }

    /// The connection is lost. Callers have waited since `waiting_since`. False where the loss is to be shown at once:
    /// it is not the first, or the callers have waited too long already.
    pub(super) fn lost(&mut self, now: Instant, waiting_since: Instant) -> bool {
        self.strike(now);
        let until = waiting_since + UNKNOWN_PATIENCE;
        self.hidden_until = (self.is_first() && until > now).then_some(until);
        self.hidden_until.is_some()
    }

    /// Until when the loss may stay hidden; asked once per loss.
    pub(super) fn take_hidden_until(&mut self) -> Option<Instant> {
        self.hidden_until.take()
    }

    /// An attempt at a new connection has failed.
    pub(super) fn attempt_failed(&mut self, cause: &str, now: Instant) {
        self.strike(now);
        let lately = |at: Instant| now.saturating_duration_since(at) < REMIND_EVERY;
        if self.logged_at.is_some_and(lately) {
            return;
        }
        self.logged_at = Some(now);
        let seconds = self.duration(now).as_secs();
        log::error!(seconds; "no connection to the database: {cause}");
    }

    /// There is a connection again. Returns how long the outage has lasted. The strikes stay until the connection has
    /// answered something.
    pub(super) fn ended(&mut self, now: Instant) -> Duration {
        let duration = self.duration(now);
        self.since = None;
        self.logged_at = None;
        duration
    }

    fn strike(&mut self, now: Instant) {
        self.strikes = self.strikes.saturating_add(1);
        self.since.get_or_insert(now);
    }

    fn duration(&self, now: Instant) -> Duration {
        self.since
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use pointsman_clock::Clock;

    use super::*;

    #[test]
    fn pauses_grow_until_something_is_answered() {
        let (mut outage, now) = (Outage::default(), Clock.instant());
        let mut seen = Vec::new();
        for _ in 0..6 {
            outage.attempt_failed("a test", now);
            seen.push(outage.pause().as_millis());
        }
        assert_eq!(seen, [0, 200, 400, 800, 1000, 1000]);
        assert!(!outage.is_first());
        outage.answered();
        outage.lost(now, now);
        assert!(outage.is_first());
        outage.answered();
        assert_eq!(outage.pause(), Duration::ZERO);
    }

    #[test]
    fn only_the_first_loss_is_hidden_and_only_while_callers_have_time() {
        let now = Clock.instant();
        let seconds = Duration::from_secs;
        let mut outage = Outage::default();
        assert!(outage.lost(now + seconds(1), now));
        assert_eq!(outage.take_hidden_until(), Some(now + seconds(3)));
        assert_eq!(outage.take_hidden_until(), None);
        assert!(!outage.lost(now + seconds(1), now), "it is the second");
        outage.answered();
        assert!(!outage.lost(now + seconds(3), now), "they have waited for 3 s");
    }

    #[test]
    fn an_outage_lasts_from_its_first_loss_to_the_next_connection() {
        let now = Clock.instant();
        let mut outage = Outage::default();
        outage.lost(now, now);
        outage.attempt_failed("a test", now + Duration::from_secs(1));
        assert!(outage.lasts());
        let seconds = outage.ended(now + Duration::from_secs(5)).as_secs();
        assert!(seconds == 5 && !outage.lasts());
    }
}
