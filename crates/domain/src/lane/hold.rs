//! The hold: how long deliveries may wait in the present mode and for the breaker, and which are given up without an
//! attempt.

use std::time::Duration;

use super::{
    DeliveryKey, LaneMode, breaker::Breaker, intake::Intake, poison::PoisonTracker, retry_table::RetryTable,
};
use crate::{attempt::DeadLetterReason, event::PlatformEvent, timestamp::Timestamp};

#[derive(Debug)]
pub(super) struct Hold {
    mode: LaneMode,
    /// How long a delivery may wait for an installation that is held.
    max_hold: Duration,
}

/// Why deliveries wait at present, and how long they may.
#[derive(Clone, Copy)]
struct Limit {
    since: Timestamp,
    /// How long a delivery may wait.
    at_most: Duration,
    reason: DeadLetterReason,
}

impl Limit {
    /// When a delivery that has waited since then has waited too long.
    fn ends_for(&self, waiting_since: Timestamp) -> Timestamp {
        waiting_since.max(self.since) + self.at_most
    }
}

/// Decides which deliveries are given up at one moment.
pub(super) struct GiveUpRule<'a> {
    mode: LaneMode,
    limit: Option<Limit>,
    poison: &'a PoisonTracker,
    now: Timestamp,
}

impl Hold {
    pub(super) fn new(mode: LaneMode, max_hold: Duration) -> Self {
        Self { mode, max_hold }
    }

    pub(super) fn mode(&self) -> LaneMode {
        self.mode
    }

    pub(super) fn is_running(&self) -> bool {
        self.mode == LaneMode::Running
    }

    pub(super) fn is_closing(&self) -> bool {
        matches!(self.mode, LaneMode::Closing { .. })
    }

    pub(super) fn is_draining(&self) -> bool {
        self.mode == LaneMode::Draining
    }

    /// Changes the mode unless the present one is final; true if it was changed.
    pub(super) fn change(&mut self, mode: LaneMode) -> bool {
        let is_final = match self.mode {
            LaneMode::Draining => true,
            LaneMode::Closing { .. } => matches!(mode, LaneMode::Running | LaneMode::Held { .. }),
            LaneMode::Running | LaneMode::Held { .. } => false,
        };
        if !is_final {
            self.mode = mode;
        }
        !is_final
    }

    /// Whether no event will be started or given up any more.
    pub(super) fn is_ending(&self, intake: &Intake) -> bool {
        match self.mode {
            LaneMode::Running | LaneMode::Held { .. } => false,
            LaneMode::Closing { head } => intake.is_finished(head),
            LaneMode::Draining => true,
        }
    }

    /// Whether events are to be read. A held lane reads only once nothing that it has read may wait any longer.
    pub(super) fn wants_events(&self, intake: &Intake, breaker: &Breaker, now: Timestamp) -> bool {
        match self.mode {
            LaneMode::Running => true,
            LaneMode::Held { .. } => self.limit(breaker, now).is_some_and(|limit| {
                let next = intake.next();
                limit.ends_for(next.map_or(limit.since, |queued| queued.waiting_since)) <= now
            }),
            LaneMode::Closing { head } => intake.read_through() < head,
            LaneMode::Draining => false,
        }
    }

    /// Retries that are due at this time or before are to be read; `None` for no retries. A held lane reads only
    /// those that have waited too long.
    pub(super) fn wants_retries(&self, breaker: &Breaker, now: Timestamp) -> Option<Timestamp> {
        match self.mode {
            LaneMode::Running => Some(now),
            LaneMode::Held { .. } => {
                let limit = self.limit(breaker, now)?;
                (limit.ends_for(limit.since) <= now).then(|| now - limit.at_most)
            }
            LaneMode::Closing { .. } => Some(Timestamp::MAX),
            LaneMode::Draining => None,
        }
    }

    /// When the next delivery that the lane knows of has waited too long.
    pub(super) fn ends_at(
        &self,
        intake: &Intake,
        retries: &RetryTable,
        breaker: &Breaker,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let limit = self.limit(breaker, now)?;
        let held = matches!(self.mode, LaneMode::Held { .. });
        let event = intake.next().map(|queued| queued.waiting_since);
        let loaded = retries.rows().map(|row| row.next_attempt_at);
        // What a held lane has not read may be older than the hold.
        let unread_events = (held && intake.is_idle()).then_some(limit.since);
        let unread_retries = retries.next_at().filter(|_| held && retries.may_read());
        event
            .into_iter()
            .chain(loaded)
            .chain(unread_events)
            .chain(unread_retries)
            .map(|waiting_since| limit.ends_for(waiting_since))
            .min()
    }

    pub(super) fn give_up_rule<'a>(
        &self,
        breaker: &Breaker,
        poison: &'a PoisonTracker,
        now: Timestamp,
    ) -> GiveUpRule<'a> {
        GiveUpRule {
            mode: self.mode,
            limit: self.limit(breaker, now),
            poison,
            now,
        }
    }

    fn limit(&self, breaker: &Breaker, now: Timestamp) -> Option<Limit> {
        match self.mode {
            LaneMode::Running if !breaker.is_pausing(now) => None,
            LaneMode::Running => breaker.open_since().map(|since| Limit {
                since,
                at_most: breaker.longest_hold(),
                reason: DeadLetterReason::BreakerOpen,
            }),
            LaneMode::Held { since } => Some(Limit {
                since,
                at_most: self.max_hold,
                reason: DeadLetterReason::Expired,
            }),
            LaneMode::Closing { .. } | LaneMode::Draining => None,
        }
    }
}

impl GiveUpRule<'_> {
    /// Why a delivery is given up now; `None` if it is not. A defect of the event is named before any other reason.
    pub(super) fn reason(
        &self,
        key: DeliveryKey,
        event: &PlatformEvent,
        waiting_since: Timestamp,
    ) -> Option<DeadLetterReason> {
        let reason = match self.mode {
            LaneMode::Draining => None,
            LaneMode::Closing { .. } => Some(DeadLetterReason::Uninstalled),
            LaneMode::Running if self.poison.forbids(key, event) => Some(DeadLetterReason::Poison),
            LaneMode::Running | LaneMode::Held { .. } => self
                .limit
                .filter(|limit| limit.ends_for(waiting_since) <= self.now)
                .map(|limit| limit.reason),
        };
        reason.map(|reason| match event.defect {
            Some(_) if event.is_erased() => DeadLetterReason::Erased,
            Some(_) => DeadLetterReason::Corrupt,
            None => reason,
        })
    }
}

#[cfg(test)]
mod tests;
