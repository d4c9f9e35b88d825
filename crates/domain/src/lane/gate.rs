//! The gate: whether an attempt may start at this moment, and whether an event or a retry comes first.

use super::{
    BreakerState, LaneConfig, LaneLimits,
    breaker::{Breaker, Source, Times},
    rate::Rate,
};
use crate::{
    attempt::{AttemptResult, Verdict},
    timestamp::Timestamp,
};

#[derive(Debug)]
pub(super) struct Gate {
    in_flight: usize,
    /// How many attempts may be in flight if nothing else narrows the gate. Grows with each success.
    concurrency: usize,
    initial_concurrency: usize,
    max_concurrency: usize,
    breaker: Breaker,
    rate: Rate,
    /// Whether a retry comes first when both an event and a retry could start.
    retry_is_next: bool,
}

/// What waits for an attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// An event is queued.
    pub(super) event: bool,
    /// A row of the retry table is loaded.
    pub(super) retry: bool,
    /// The earliest time among the rows that are not loaded.
    pub(super) next_retry_at: Option<Timestamp>,
}

impl Gate {
    pub(super) fn new(config: &LaneConfig, now: Timestamp) -> Self {
        let max_concurrency = config.concurrency.max(1);
        Self {
            in_flight: 0,
            concurrency: config.initial_concurrency.clamp(1, max_concurrency),
            initial_concurrency: config.initial_concurrency,
            max_concurrency,
            breaker: Breaker::new(config.breaker_failures, Times::of(config)),
            rate: Rate::new(config.rate_limit, now),
            retry_is_next: false,
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many attempts may be in flight if nothing else narrows the gate.
    pub(super) fn concurrency(&self) -> usize {
        self.concurrency
    }

    pub(super) fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    pub(super) fn change_limits(&mut self, limits: LaneLimits, now: Timestamp) {
        self.max_concurrency = limits.concurrency.max(1);
        self.concurrency = self.concurrency.min(self.max_concurrency);
        self.rate.change(limits.rate_limit, now);
    }

    /// How many attempts may be in flight. `one_at_a_time` is set by the order and by the poison tracker.
    pub(super) fn parallel(&self, one_at_a_time: bool) -> usize {
        if one_at_a_time || self.breaker.is_open() {
            1
        } else {
            self.concurrency
        }
    }

    /// Whether one more attempt may start, from whatever source.
    pub(super) fn is_open(&self, one_at_a_time: bool, now: Timestamp) -> bool {
        self.in_flight < self.parallel(one_at_a_time) && self.rate.opens_at(now) <= now
    }

    /// Whether the breaker lets an attempt from this source start.
    pub(super) fn lets_through(&self, source: Source, now: Timestamp) -> bool {
        self.breaker.lets_through(source, now)
    }

    /// Whether a retry comes first when both an event and a retry could start: they take turns.
    pub(super) fn retry_is_next(&self) -> bool {
        self.retry_is_next
    }

    /// A delivery from this source starts or is given up: the other source is next.
    pub(super) fn took(&mut self, source: Source) {
        self.retry_is_next = source == Source::Events;
    }

    pub(super) fn attempt_started(&mut self, source: Source, now: Timestamp) {
        self.took(source);
        self.in_flight += 1;
        self.rate.take(now);
        self.breaker.started(source);
    }

    /// A refusal is no failure for the breaker, because it shows that the service lives. It does not raise the
    /// concurrency either, because nothing was delivered.
    pub(super) fn attempt_ended(&mut self, result: &AttemptResult, now: Timestamp) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if result.verdict == Verdict::Delivered {
            self.concurrency = (self.concurrency + 1).min(self.max_concurrency);
        }
        if result.shows_life() {
            self.breaker.reset();
        } else if self.breaker.failed(result, now) {
            // A service that comes back starts with as few attempts as one that is new.
            self.concurrency = self.initial_concurrency.clamp(1, self.max_concurrency);
        }
    }

    pub(super) fn reset_breaker(&mut self) {
        self.breaker.reset();
    }

    /// When the breaker and the rate limit next let something start that waits; only times after `now`.
    pub(super) fn opens_at(&self, waiting: Waiting, now: Timestamp) -> Option<Timestamp> {
        let rate = self.rate.opens_at(now);
        let sources = [(Source::Events, waiting.event), (Source::Retries, waiting.retry)];
        sources
            .into_iter()
            .filter(|(_, waits)| *waits)
            .map(|(source, _)| {
                self.breaker
                    .next_probe_at(source)
                    .map_or(rate, |probe| probe.max(rate))
            })
            .filter(|at| *at > now)
            .min()
    }

    /// The breaker as shown to admins. Its next probe is of a source in which something waits; where nothing waits,
    /// of the source that may be probed first.
    pub(super) fn breaker_state(&self, waiting: Waiting) -> BreakerState {
        let Some(since) = self.breaker.open_since() else {
            return BreakerState::Closed;
        };
        let [events, retries] = [Source::Events, Source::Retries]
            .map(|source| self.breaker.next_probe_at(source).unwrap_or(since));
        let due_at = if waiting.retry {
            Some(since)
        } else {
            waiting.next_retry_at
        };
        let waiting = [waiting.event.then_some(events), due_at.map(|at| at.max(retries))];
        let next_probe_at = waiting.into_iter().flatten().min();
        BreakerState::Open {
            since,
            next_probe_at: next_probe_at.unwrap_or(events.min(retries)),
        }
    }
}

#[cfg(test)]
mod tests;
