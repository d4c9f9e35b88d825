//! What is given up without an attempt, and when: what was held too long, and what must not be attempted.

use std::{sync::Arc, time::Duration};

use super::{DeliveryKey, Lane, LaneMode, start::Next};
use crate::{attempt::DeadLetterReason, event::PlatformEvent, timestamp::Timestamp};

/// What keeps deliveries waiting at present.
struct Hold {
    since: Timestamp,
    /// How long a delivery may wait for it.
    at_most: Duration,
    reason: DeadLetterReason,
}

impl Hold {
    /// When the hold is too long for a delivery that has waited since then.
    fn ends_for(&self, waiting_since: Timestamp) -> Timestamp {
        waiting_since.max(self.since) + self.at_most
    }
}

impl Lane {
    /// Takes what is to be given up now, if there is any: due retries and events at the front take turns.
    /// Without `room`, events alone.
    pub(super) fn next_doomed(&mut self, room: bool, now: Timestamp) -> Option<(Next, DeadLetterReason)> {
        let hold = self.hold(now);
        let event = self.queue.front().and_then(|queued| {
            let key = queued.due.live_key();
            self.doom(hold.as_ref(), key, &queued.due.event, queued.waiting_since, now)
        });
        if room && (self.retry_is_next || event.is_none()) {
            let doomed = self.retries.rows().find_map(|row| {
                let reason = self.doom(hold.as_ref(), row.key, &row.event, row.next_attempt_at, now)?;
                Some((row.key, reason))
            });
            if let Some((key, reason)) = doomed {
                self.retry_is_next = false;
                let row = self.retries.take_loaded(|row| row.key == key)?;
                return Some((Next::Retry(row), reason));
            }
        }
        let reason = event?;
        self.retry_is_next = true;
        Some((Next::Event(self.queue.pop()?), reason))
    }

    /// Whether a delivery must not be attempted, whatever the gate says.
    pub(super) fn is_unfit(&self, key: DeliveryKey, event: &PlatformEvent) -> bool {
        event.defect.is_some() || self.poison.verdict(key).is_some()
    }

    /// Why a delivery is to be given up now, if it is. A defect is the better reason.
    fn doom(
        &self,
        hold: Option<&Hold>,
        key: DeliveryKey,
        event: &Arc<PlatformEvent>,
        waiting_since: Timestamp,
        now: Timestamp,
    ) -> Option<DeadLetterReason> {
        let reason = match self.mode {
            LaneMode::Draining => None,
            LaneMode::Closing { .. } => Some(DeadLetterReason::Uninstalled),
            LaneMode::Running if self.is_unfit(key, event) => Some(DeadLetterReason::Poison),
            LaneMode::Running | LaneMode::Held { .. } => hold
                .filter(|hold| hold.ends_for(waiting_since) <= now)
                .map(|hold| hold.reason),
        };
        reason.map(|reason| match event.defect {
            Some(_) => DeadLetterReason::Corrupt,
            None => reason,
        })
    }

    fn hold(&self, now: Timestamp) -> Option<Hold> {
        match self.mode {
            LaneMode::Running if !self.breaker.is_pausing(now) => None,
            LaneMode::Running => self.breaker.open_since().map(|since| Hold {
                since,
                at_most: self.breaker.longest_hold(),
                reason: DeadLetterReason::BreakerOpen,
            }),
            LaneMode::Held { since } => Some(Hold {
                since,
                at_most: self.config.max_hold,
                reason: DeadLetterReason::Expired,
            }),
            LaneMode::Closing { .. } | LaneMode::Draining => None,
        }
    }

    /// Whether a held lane has to read on: nothing read is left that is still allowed to wait.
    pub(super) fn expires_events(&self, now: Timestamp) -> bool {
        self.hold(now).is_some_and(|hold| {
            let front = self.queue.front();
            hold.ends_for(front.map_or(hold.since, |queued| queued.waiting_since)) <= now
        })
    }

    /// Where a held lane has to look for retries that have waited too long: those due at this time or before.
    pub(super) fn expires_retries(&self, now: Timestamp) -> Option<Timestamp> {
        let hold = self.hold(now)?;
        (hold.ends_for(hold.since) <= now).then(|| now - hold.at_most)
    }

    /// When the next delivery that is known of has been held too long.
    pub(super) fn hold_ends(&self, now: Timestamp) -> Option<Timestamp> {
        let hold = self.hold(now)?;
        let held = matches!(self.mode, LaneMode::Held { .. });
        let retries = self.retries.rows().map(|row| row.next_attempt_at);
        // What a held lane has not read may be older than the hold.
        let unread_events = (held && self.queue.is_empty() && !self.reading).then_some(hold.since);
        let unread_retries = self.retries.next_at().filter(|_| held && self.retries.may_read());
        self.queue
            .front()
            .map(|queued| queued.waiting_since)
            .into_iter()
            .chain(retries)
            .chain(unread_events)
            .chain(unread_retries)
            .map(|waiting_since| hold.ends_for(waiting_since))
            .min()
    }
}
