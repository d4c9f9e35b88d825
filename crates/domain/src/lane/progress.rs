//! The progress of deliveries from their start until they are durably settled: live ones in the window, retries
//! among the busy ones, and what the ledger is to write of both.

use std::{sync::Arc, time::Duration};

use super::{
    Delivery, DeliveryKey, Due, GivenUp, LaneConfig, LetterChange, Settlement,
    busy_retries::{AfterAttempt, BusyRetries},
    ledger::{Durable, Ledger},
    outcome::{EndedAttempt, Outcome},
    retry_table::Known,
    settler::Unsettled,
    unstarted::Unstarted,
    window::{SlotState, Window},
};
use crate::{
    attempt::{AttemptResult, DeadLetterReason},
    event::PlatformEvent,
    seq::Seq,
    timestamp::Timestamp,
};

/// How long after its time-out the row of a straggler is due, in case its attempt is never answered.
pub(super) const STRAGGLER_GRACE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Progress {
    /// How many deliveries may be started and not durably settled.
    capacity: usize,
    straggler_after: Duration,
    window: Window,
    busy: BusyRetries,
    ledger: Ledger,
}

impl Progress {
    pub(super) fn new(config: &LaneConfig, settled: Seq) -> Self {
        Self {
            capacity: config.window.max(1),
            straggler_after: config.straggler_after,
            window: Window::default(),
            busy: BusyRetries::default(),
            ledger: Ledger::new(settled),
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Deliveries started and not durably settled. A parked slot that the cursor has not passed and whose row is
    /// being tried again counts twice. That errs on the safe side and does not last.
    pub(super) fn used(&self) -> usize {
        self.window.len() + self.busy.len()
    }

    /// Whether another delivery may start; `one_at_a_time` if only when nothing is unsettled.
    pub(super) fn has_room(&self, one_at_a_time: bool) -> bool {
        self.used() < if one_at_a_time { 1 } else { self.capacity }
    }

    /// The durable cursor.
    pub(super) fn durable(&self) -> Seq {
        self.ledger.durable()
    }

    /// The event of the delivery started last.
    pub(super) fn last_started(&self) -> Option<Seq> {
        self.window.last()
    }

    pub(super) fn has_busy_retries(&self) -> bool {
        self.busy.len() > 0
    }

    /// The attempts in flight, stragglers among the retries.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = DeliveryKey> {
        self.window.in_flight().chain(self.busy.in_flight())
    }

    pub(super) fn retries_in_flight(&self) -> impl Iterator<Item = DeliveryKey> {
        self.busy.in_flight()
    }

    /// Whether a live delivery that was started, apart from first attempts, is not durably delivered or dead.
    pub(super) fn has_unfinished_live(&self) -> bool {
        self.busy.has_live() || self.ledger.has_live_rows() || self.window.is_giving_up()
    }

    /// At most how many rows a read may meet for which [`Progress::knows_row`] does not say [`Known::Nothing`].
    pub(super) fn known_rows(&self) -> usize {
        self.busy.len() + self.ledger.touched()
    }

    /// What is known of the delivery of a row that was just read.
    pub(super) fn knows_row(&mut self, key: DeliveryKey) -> Known {
        if self.busy.see_row(key) {
            Known::Busy
        } else if self.ledger.touches(key) {
            Known::Changing
        } else {
            Known::Nothing
        }
    }

    /// How far a settlement of everything done may move the cursor. `unstarted` is the position before the first event
    /// that was not started.
    pub(super) fn settleable(&self, unstarted: Seq) -> Seq {
        self.window.first_unsettled().map_or(unstarted, Seq::prev)
    }

    /// How far the cursor may go without a settlement, once `given_up` has its letter.
    fn settled_with_letter(&self, given_up: Option<DeliveryKey>, unstarted: Seq) -> Seq {
        let first = self.window.first_not_durable(given_up);
        first.map_or(unstarted, Seq::prev).max(self.ledger.durable())
    }

    pub(super) fn unsettled(&self, unstarted: Seq) -> Unsettled {
        Unsettled {
            settleable: self.settleable(unstarted),
            durable: self.ledger.durable(),
            first_started: self.window.first(),
            has_rows: self.ledger.has_rows(),
            is_outstanding: self.ledger.is_outstanding(),
        }
    }

    /// Whether everything that was started is durably settled, and the cursor has passed everything it may.
    pub(super) fn is_at_rest(&self, unstarted: Seq) -> bool {
        self.used() == 0
            && !self.ledger.is_outstanding()
            && !self.ledger.has_rows()
            && self.settleable(unstarted) == self.ledger.durable()
    }

    /// Starts an attempt.
    pub(super) fn begin(&mut self, next: Unstarted, now: Timestamp) -> Delivery {
        match next {
            Unstarted::Event(due) => {
                self.window
                    .push(due.clone(), SlotState::InFlight { started: now });
                Unstarted::Event(due).into_attempt()
            }
            Unstarted::Retry(row) => {
                let delivery = Unstarted::Retry(row).into_attempt();
                let Delivery {
                    key,
                    ref event,
                    attempt,
                    dead_letter_id,
                } = delivery;
                self.busy.begin(key, event.clone(), attempt, dead_letter_id);
                delivery
            }
        }
    }

    /// Gives a delivery up without an attempt: its letter is to be written.
    pub(super) fn give_up(&mut self, next: Unstarted, reason: DeadLetterReason, unstarted: Seq) -> GivenUp {
        let settled = self.settled_with_letter(None, unstarted);
        if let Unstarted::Event(due) = &next {
            self.window.push(due.clone(), SlotState::GivingUp { settled });
            return next.into_given_up(reason, settled);
        }
        let given_up = next.into_given_up(reason, settled);
        self.busy.give_up(&given_up);
        given_up
    }

    /// When the attempt is to be parked that keeps the cursor from passing deliveries already done.
    pub(super) fn straggles_at(&self) -> Option<Timestamp> {
        self.window.held_since().map(|since| since + self.straggler_after)
    }

    /// Parks the attempts at the front of the window that take long while they are in flight, so that the cursor can
    /// pass them. Their rows count the attempts made before, and are due when the attempt must have ended.
    pub(super) fn park_stragglers(&mut self, now: Timestamp) {
        if self.straggles_at().is_none_or(|at| at > now) {
            return;
        }
        let (busy, ledger) = (&mut self.busy, &mut self.ledger);
        self.window
            .park_stragglers(now, self.straggler_after, |due, started| {
                busy.begin(due.live_key(), due.event.clone(), 1, None);
                ledger.park_untried(due, started + due.attempt_timeout + STRAGGLER_GRACE);
            });
    }

    /// Parks a delivery that was not started.
    pub(super) fn park_unstarted(&mut self, due: Due, now: Timestamp) {
        self.ledger.park_untried(&due, now);
        self.window.push(due, SlotState::Parked);
    }

    /// Puts the event in the place of its former copies.
    pub(super) fn erase(&mut self, event: &Arc<PlatformEvent>) {
        self.window.erase(event);
        self.busy.erase(event);
        self.ledger.erase(event.id);
    }

    /// Whether the event of the delivery, which is started, was erased.
    pub(super) fn is_erased(&self, key: DeliveryKey) -> bool {
        self.window.is_erased(key) || self.busy.is_erased(key)
    }

    /// The attempt that has ended with this result; `None` if no attempt with this key is in flight.
    pub(super) fn ended(&self, key: DeliveryKey, result: AttemptResult) -> Option<EndedAttempt> {
        match self.busy.ended(key, result) {
            Ok(ended) => Some(ended),
            Err(result) => self.window.ended(key, result),
        }
    }

    /// Returns the change of the letter that is to be made at once, if there is one.
    pub(super) fn attempt_ended(
        &mut self,
        ended: EndedAttempt,
        outcome: Outcome,
        unstarted: Seq,
    ) -> Option<LetterChange> {
        let key = ended.key;
        if ended.is_retry {
            let settled = self.settled_with_letter(None, unstarted);
            return match self.busy.attempt_ended(ended, outcome, settled, &mut self.ledger) {
                AfterAttempt::Settles => None,
                AfterAttempt::DeliveredWithoutRow => {
                    self.window.set_state(key, SlotState::Settled);
                    None
                }
                AfterAttempt::ChangesLetter(change) => Some(change),
            };
        }
        match outcome {
            Outcome::Delivered => self.window.set_state(key, SlotState::Settled),
            Outcome::Parked(at) => {
                self.window.set_state(key, SlotState::Parked);
                self.ledger.park(ended.into_parked(at));
            }
            Outcome::GivenUp(reason) => {
                let settled = self.settled_with_letter(Some(key), unstarted);
                self.window.set_state(key, SlotState::GivingUp { settled });
                let given_up = Box::new(ended.into_given_up(reason, settled));
                return Some(LetterChange::GivenUp(given_up));
            }
        }
        None
    }

    /// The settlement of everything that the ledger has gathered.
    pub(super) fn issue_settlement(&mut self, unstarted: Seq) -> Settlement {
        self.ledger.issue(self.settleable(unstarted))
    }

    /// The outstanding settlement is durable; hands over what follows.
    pub(super) fn settlement_durable(&mut self, mut follows: impl FnMut(Durable)) {
        let Some(outstanding) = self.ledger.settled() else {
            return;
        };
        self.drop_passed(&mut follows);
        for (key, next_attempt_at) in outstanding.rows {
            // A straggler that ended in the meantime changes its row again in the next settlement.
            if self.ledger.touches(key) {
                continue;
            }
            let durable = self.busy.row_durable(key, next_attempt_at, self.ledger.durable());
            durable.into_iter().for_each(&mut follows);
        }
    }

    /// The letter of the delivery is durable; hands over what follows.
    pub(super) fn letter_durable(&mut self, key: DeliveryKey, mut follows: impl FnMut(Durable)) {
        if let Some((released, settled)) = self.busy.letter_written(key) {
            follows(Durable::Released(released));
            self.ledger.raise(settled);
        } else if let Some(settled) = self.window.letter_written(key) {
            self.ledger.raise(settled);
        }
        self.drop_passed(&mut follows);
    }

    fn drop_passed(&mut self, follows: &mut impl FnMut(Durable)) {
        self.window.drop_through(self.ledger.durable(), |due| {
            follows(Durable::Passed(due.live_key()));
        });
    }
}

#[cfg(test)]
mod tests;
