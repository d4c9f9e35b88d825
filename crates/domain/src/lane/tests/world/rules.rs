//! What narrows the lane's gate and what ends a hold, as seen from outside.

use super::*;
use crate::lane::{BreakerState, breaker::Times};

/// What a lane has to keep to, apart from the limits in its configuration.
pub(super) struct Rules {
    breaker_failures: Option<u32>,
    /// Failures in a row.
    failures: u32,
    times: Times,
    open: Option<OpenBreaker>,
    /// Attempts started since it opened.
    probes: BTreeMap<DeliveryKey, Source>,
    /// Since when the service takes everything.
    pub(super) well_since: Option<Timestamp>,
    /// When attempts were started under the present rate limit.
    starts: Vec<Timestamp>,
    /// The lane was ordered from the beginning.
    always_ordered: bool,
    /// How often the delivery was in flight, or had just ended, when the actor panicked.
    panics: BTreeMap<DeliveryKey, u32>,
    /// The last live delivery in flight at a panic.
    suspected_through: Seq,
}

struct OpenBreaker {
    since: Timestamp,
    /// What the letters say of it.
    cause: Answer,
    /// Of each source how long the breaker pauses, and when its last probe ended.
    paces: BTreeMap<Source, (Duration, Timestamp)>,
}

/// What an attempt is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Events,
    Retries,
}

impl Rules {
    pub(super) fn new(config: &LaneConfig) -> Self {
        Self {
            breaker_failures: config.breaker_failures,
            failures: 0,
            times: Times::of(config),
            open: None,
            probes: BTreeMap::new(),
            well_since: None,
            starts: Vec::new(),
            always_ordered: config.ordered,
            panics: BTreeMap::new(),
            suspected_through: Seq::ZERO,
        }
    }

    /// A new lane remembers neither failures nor attempts.
    pub(super) fn attached(&mut self) {
        self.close_breaker();
        self.starts.clear();
    }

    pub(super) fn limits_change(&mut self, config: &LaneConfig, limits: &LaneLimits) {
        self.always_ordered &= limits.ordered;
        if config.rate_limit != limits.rate_limit {
            self.starts.clear();
        }
    }

    pub(super) fn close_breaker(&mut self) {
        (self.failures, self.open) = (0, None);
        self.probes.clear();
    }

    pub(super) fn attempt_started(&mut self, key: DeliveryKey, source: Source, now: Timestamp) {
        self.starts.push(now);
        if self.open.is_some() {
            self.probes.insert(key, source);
        }
    }

    pub(super) fn attempt_ended(&mut self, key: DeliveryKey, answer: &Answer, now: Timestamp) {
        let probe = self.probes.remove(&key);
        if answer.is_sign_of_life() {
            self.close_breaker();
            return;
        }
        self.failures += 1;
        match &mut self.open {
            Some(open) => {
                if let Some(source) = probe {
                    let (pause, _) = open.paces[&source];
                    let pause = (pause * 2).min(answer.longest_pause(self.times.longest_pause));
                    open.paces.insert(source, (pause, now));
                    open.cause = answer.clone();
                }
            }
            None if self.breaker_failures.is_some_and(|most| self.failures >= most) => {
                let pace = |source| (source, (Duration::from_secs(1), now));
                self.open = Some(OpenBreaker {
                    since: now,
                    cause: answer.clone(),
                    paces: [Source::Events, Source::Retries].map(pace).into(),
                });
            }
            None => {}
        }
    }

    pub(super) fn panicked(&mut self, suspects: &[DeliveryKey], through: Option<Seq>) {
        for key in suspects {
            *self.panics.entry(*key).or_default() += 1;
        }
        self.suspected_through = self.suspected_through.max(through.unwrap_or_default());
    }

    /// A process that is started anew knows nothing of panics.
    pub(super) fn forget_panics(&mut self) {
        self.panics.clear();
        self.suspected_through = Seq::ZERO;
    }
}

impl World {
    /// Before an attempt starts.
    pub(super) fn check_rules(&self, key: DeliveryKey, source: Source, seq: Seq) {
        let rules = &self.rules;
        if let Some(open) = &rules.open {
            let (pause, last) = open.paces[&source];
            assert!(self.in_flight.is_empty(), "{key:?} is a second probe");
            assert!(last + pause <= self.now, "{key:?} does not wait for its probe");
        }
        if self.config.ordered {
            assert!(
                self.in_flight.is_empty(),
                "{key:?} is not alone in an ordered lane"
            );
        }
        if self.cursor < rules.suspected_through {
            // Its other handlers cannot be settled without it.
            let mut at_risk = self.at_risk();
            at_risk.retain(|other| other.event_id != key.event_id);
            assert!(
                at_risk.is_empty(),
                "{key:?} starts beside {at_risk:?} after a panic"
            );
        }
        if rules.always_ordered && key.kind == DeliveryKind::Live {
            let before = self.due().take_while(|due| due.event.seq < seq);
            for subject in before.map(|due| subject(due.live_key())) {
                let done = self.received.contains(&subject) || self.letters.contains_key(&subject);
                assert!(done, "{key:?} overtakes {subject:?}");
            }
        }
        self.check_rate();
    }

    /// The breaker is open when it has to be, and never else.
    pub(super) fn check_breaker(&self, shown: BreakerState) {
        if self.closed || self.drained {
            // It listens to nothing any more.
            return;
        }
        let expected = self.rules.open.as_ref().map(|open| open.since);
        let shown = match shown {
            BreakerState::Closed => None,
            BreakerState::Open { since, .. } => Some(since),
        };
        assert_eq!(shown, expected, "the breaker");
        let cause = self.rules.open.as_ref().and_then(|open| open.cause.error());
        assert_eq!(
            self.lane.breaker_cause().and_then(|cause| cause.error.clone()),
            cause
        );
    }

    fn check_rate(&self) {
        let Some(limit) = self.config.rate_limit else {
            return;
        };
        let starts = &self.rules.starts;
        for (index, first) in starts.iter().enumerate() {
            let count = starts.len() - index + 1;
            let millis = u64::try_from(self.now.since(*first).as_millis()).unwrap();
            let most = u64::from(limit) * (1_000 + millis);
            assert!(
                u64::try_from(count).unwrap() * 1_000 <= most,
                "{count} attempts in {millis} ms at {limit} per second"
            );
        }
    }

    /// When a delivery is given up.
    pub(super) fn check_reason(&self, what: &GivenUp) {
        let GivenUp {
            key,
            event,
            reason,
            last_error,
            ..
        } = what;
        let row = self.rows.get(key);
        let waits_since = row.map_or(event.occurred_at, |row| row.next_attempt_at);
        let held = |since: Timestamp, longest: Duration| waits_since.max(since) + longest <= self.now;
        let may_be = match (reason, self.mode, &self.rules.open) {
            (DeadLetterReason::Corrupt, ..) => event.defect.is_some() && !event.is_erased(),
            (DeadLetterReason::Erased, ..) => event.is_erased(),
            (DeadLetterReason::Uninstalled, mode, _) => matches!(mode, LaneMode::Closing { .. }),
            (DeadLetterReason::Expired, LaneMode::Held { since }, _) => held(since, self.config.max_hold),
            (DeadLetterReason::BreakerOpen, LaneMode::Running, Some(open)) => {
                let named = open.cause.error().unwrap_or_default();
                assert!(
                    last_error.as_ref().is_some_and(|error| error.contains(&named)),
                    "{what:?}"
                );
                let well = self.rules.well_since.is_some_and(|since| waits_since >= since);
                assert!(!well, "{key:?} has waited for nothing but a service that is well");
                let pauses = open.paces.values().any(|(pause, last)| *last + *pause > self.now);
                let probes = !self.rules.probes.is_empty();
                held(open.since, self.rules.times.longest_hold) && pauses && !probes
            }
            (DeadLetterReason::Expired | DeadLetterReason::BreakerOpen, ..) => false,
            (DeadLetterReason::Poison, ..) => self.rules.panics.get(key).is_some_and(|panics| *panics >= 3),
            _ => true,
        };
        assert!(may_be, "{key:?} is given up as {reason:?} without need");
    }
}
