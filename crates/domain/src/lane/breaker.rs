//! The breaker: holds deliveries to a service that shows no sign of life.

use std::time::Duration;

use super::{BreakerCause, LaneConfig};
use crate::{attempt::AttemptResult, timestamp::Timestamp};

/// The pause before the first probe; each probe that fails doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between two probes, whatever the schedule.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);
/// The pause after a probe that the service itself failed on, see [`AttemptResult::may_be_of_the_event`]: the
/// next delivery may be taken, and there may be hundreds of such events before it.
const ANSWERED_PAUSE: Duration = FIRST_PAUSE;
/// The shortest time that a delivery is held, however short the schedule.
const SHORTEST_HOLD: Duration = Duration::from_secs(10 * 60);
/// The time that a delivery is held has room for the pauses of at least this many probes.
const PROBES: u32 = 40;

/// What probes are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Events that were not attempted yet.
    Events,
    /// The retry table.
    Retries,
}

/// The times of a lane's breaker.
///
/// Whatever the schedule, a delivery is probed before it is given up: it is held at least for the pause and the attempt
/// that were under way when the service came back, and for as long again. So no event is given up that was published
/// after the service was well. The pauses are short enough that a few events that fail for reasons of their own do not
/// use up the hold time of the events behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// The longest pause between two probes of the same source.
    pub(super) longest_pause: Duration,
    /// How long a delivery may be held by an open breaker.
    pub(super) longest_hold: Duration,
}

impl Times {
    pub(super) fn of(config: &LaneConfig) -> Self {
        let hold = config.schedule.longest().max(SHORTEST_HOLD.min(config.max_hold));
        let longest_pause = (hold / PROBES).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        let probe = longest_pause.saturating_add(config.attempt_timeout);
        Self {
            longest_pause,
            longest_hold: hold.saturating_add(probe.saturating_mul(2)),
        }
    }
}

/// Counts failures in a row. Once there are enough it is open: one attempt at a time is let through, a probe,
/// with growing pauses between them. Any sign of life closes it.
///
/// Events and retries are probed side by side, each with pauses of their own: a retry that
/// fails again says little about other deliveries, so it must not delay the next event, which may find the service
/// well.
#[derive(Debug)]
pub(super) struct Breaker {
    /// Failures in a row that open it; `None` where there is no breaker.
    threshold: Option<u32>,
    times: Times,
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    since: Timestamp,
    cause: BreakerCause,
    events: Pace,
    retries: Pace,
    /// Where the probe in flight comes from. Attempts that were in flight when the breaker opened are no probes:
    /// their failure tells nothing new.
    probing: Option<Source>,
}

/// The probes of one source.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Between the last probe, or the opening, and the next.
    pause: Duration,
    next_at: Timestamp,
}

impl Breaker {
    /// A threshold of 0 counts as 1.
    pub(super) fn new(threshold: Option<u32>, times: Times) -> Self {
        Self {
            threshold: threshold.map(|failures| failures.max(1)),
            times,
            failures: 0,
            open: None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    pub(super) fn open_since(&self) -> Option<Timestamp> {
        self.open.as_ref().map(|open| open.since)
    }

    /// The failure that opened it, or that of the latest probe.
    pub(super) fn cause(&self) -> Option<&BreakerCause> {
        self.open.as_ref().map(|open| &open.cause)
    }

    /// Whether a probe has failed and the next is not to come yet. Only then is it known that the service is still
    /// not well: at other times a probe comes first, and may save what was held too long.
    pub(super) fn is_pausing(&self, now: Timestamp) -> bool {
        self.open.as_ref().is_some_and(|open| {
            open.probing.is_none() && (open.events.next_at > now || open.retries.next_at > now)
        })
    }

    pub(super) fn longest_hold(&self) -> Duration {
        self.times.longest_hold
    }

    /// The time before which nothing of this source may start; `None` when there is no such time.
    pub(super) fn next_probe_at(&self, of: Source) -> Option<Timestamp> {
        self.open.as_ref().map(|open| match of {
            Source::Events => open.events.next_at,
            Source::Retries => open.retries.next_at,
        })
    }

    /// Whether the next attempt may be of this source.
    pub(super) fn lets_through(&self, source: Source, now: Timestamp) -> bool {
        self.next_probe_at(source).is_none_or(|at| at <= now)
    }

    /// An attempt starts.
    pub(super) fn started(&mut self, source: Source) {
        if let Some(open) = &mut self.open {
            open.probing = Some(source);
        }
    }

    /// An attempt ended without a sign of life. True if that has opened the breaker.
    pub(super) fn failed(&mut self, result: &AttemptResult, now: Timestamp) -> bool {
        self.failures = self.failures.saturating_add(1);
        if let Some(open) = &mut self.open {
            if let Some(source) = open.probing.take() {
                open.cause = BreakerCause::of(result);
                let longest = if result.may_be_of_the_event() {
                    ANSWERED_PAUSE
                } else {
                    self.times.longest_pause
                };
                open.pace(source).grow(longest, now);
            }
            return false;
        }
        if self.threshold.is_none_or(|threshold| self.failures < threshold) {
            return false;
        }
        let pace = Pace {
            pause: FIRST_PAUSE,
            next_at: now + FIRST_PAUSE,
        };
        self.open = Some(Open {
            since: now,
            cause: BreakerCause::of(result),
            events: pace,
            retries: pace,
            probing: None,
        });
        true
    }

    /// The service has shown that it lives, or an admin says so: closes it and forgets the failures.
    pub(super) fn reset(&mut self) {
        (self.failures, self.open) = (0, None);
    }
}

impl Open {
    fn pace(&mut self, of: Source) -> &mut Pace {
        match of {
            Source::Events => &mut self.events,
            Source::Retries => &mut self.retries,
        }
    }
}

impl Pace {
    fn grow(&mut self, longest: Duration, now: Timestamp) {
        self.pause = self.pause.saturating_mul(2).min(longest);
        self.next_at = now + self.pause;
    }
}

#[cfg(test)]
mod tests;
