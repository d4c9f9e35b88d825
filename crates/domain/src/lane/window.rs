//! The live deliveries that were started, in the order of the log.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{DeliveryKey, Due, outcome::EndedAttempt};
use crate::{
    attempt::{AttemptResult, DeliveryKind},
    event::PlatformEvent,
    seq::Seq,
    timestamp::Timestamp,
};

/// How far a live delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotState {
    InFlight {
        started: Timestamp,
    },
    /// The letter is being written; `settled` is the cursor that is written with it.
    GivingUp {
        settled: Seq,
    },
    /// A retry row takes over. The cursor may pass it only together with, or after, that row.
    Parked,
    /// Delivered, or its letter is durable: the cursor may pass it at any time.
    Settled,
}

#[derive(Debug)]
struct Slot {
    due: Due,
    state: SlotState,
}

impl Slot {
    fn is_done(&self) -> bool {
        matches!(self.state, SlotState::Parked | SlotState::Settled)
    }
}

/// A slot stays until the durable cursor has passed it.
#[derive(Debug, Default)]
pub(super) struct Window {
    slots: VecDeque<Slot>,
    /// The number of finished slots at the front. They leave the window once the cursor is durable behind them.
    done: usize,
}

impl Window {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Adds the next delivery in the order of the log.
    pub(super) fn push(&mut self, due: Due, state: SlotState) {
        self.slots.push_back(Slot { due, state });
        self.count_done();
    }

    /// A slot that is not known to be done.
    fn slot(&self, key: DeliveryKey) -> Option<&Slot> {
        let mut slots = self.slots.range(self.done..);
        slots.find(|slot| key.kind == DeliveryKind::Live && slot.due.live_key() == key)
    }

    /// The first attempt that has ended with this result; `None` if no slot with this key is in flight.
    pub(super) fn ended(&self, key: DeliveryKey, result: AttemptResult) -> Option<EndedAttempt> {
        let slot = self.slot(key)?;
        matches!(slot.state, SlotState::InFlight { .. }).then(|| EndedAttempt {
            key,
            event: slot.due.event.clone(),
            attempt: 1,
            dead_letter_id: None,
            result,
            is_retry: false,
        })
    }

    pub(super) fn set_state(&mut self, key: DeliveryKey, state: SlotState) {
        // One that was parked may turn out to be delivered before its row is written.
        let (done, others) = (..self.done, self.done..);
        let is_it = |slot: &&mut Slot| slot.due.live_key() == key;
        if let Some(slot) = self.slots.range_mut(others).find(is_it) {
            slot.state = state;
        } else if let Some(slot) = self.slots.range_mut(done).find(is_it) {
            slot.state = state;
        }
        self.count_done();
    }

    /// The letter of the delivery is durable, and the cursor that was written with it; `None` if none was being
    /// written.
    pub(super) fn letter_written(&mut self, key: DeliveryKey) -> Option<Seq> {
        let SlotState::GivingUp { settled } = self.slot(key)?.state else {
            return None;
        };
        self.set_state(key, SlotState::Settled);
        Some(settled)
    }

    /// Puts the event in the place of its former copies.
    pub(super) fn erase(&mut self, event: &Arc<PlatformEvent>) {
        let of_event = |slot: &&mut Slot| slot.due.event.id == event.id;
        for slot in self.slots.iter_mut().filter(of_event) {
            slot.due.event = Arc::clone(event);
        }
    }

    pub(super) fn is_erased(&self, key: DeliveryKey) -> bool {
        self.slot(key).is_some_and(|slot| slot.due.event.is_erased())
    }

    fn count_done(&mut self) {
        while self.slots.get(self.done).is_some_and(Slot::is_done) {
            self.done += 1;
        }
    }

    /// The first event that a settlement may not pass.
    pub(super) fn first_unsettled(&self) -> Option<Seq> {
        self.slots.get(self.done).map(|slot| slot.due.event.seq)
    }

    /// The first event that the cursor may not pass without a settlement, apart from `given_up`.
    pub(super) fn first_not_durable(&self, given_up: Option<DeliveryKey>) -> Option<Seq> {
        self.slots
            .iter()
            .find(|slot| slot.state != SlotState::Settled && Some(slot.due.live_key()) != given_up)
            .map(|slot| slot.due.event.seq)
    }

    /// The first delivery that the durable cursor has not passed.
    pub(super) fn first(&self) -> Option<Seq> {
        self.slots.front().map(|slot| slot.due.event.seq)
    }

    /// The durable cursor has passed everything up to here; hands each slot that goes to `passed`.
    pub(super) fn drop_through(&mut self, settled: Seq, mut passed: impl FnMut(&Due)) {
        while let Some(slot) = self.slots.front().filter(|slot| slot.due.event.seq <= settled) {
            passed(&slot.due);
            self.slots.pop_front();
            self.done = self.done.saturating_sub(1);
        }
        self.count_done();
    }

    /// The last delivery that was started.
    pub(super) fn last(&self) -> Option<Seq> {
        self.slots.back().map(|slot| slot.due.event.seq)
    }

    /// The deliveries in flight, without stragglers.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = DeliveryKey> {
        self.slots
            .range(self.done..)
            .filter(|slot| matches!(slot.state, SlotState::InFlight { .. }))
            .map(|slot| slot.due.live_key())
    }

    /// Whether a letter is being written.
    pub(super) fn is_giving_up(&self) -> bool {
        self.slots
            .range(self.done..)
            .any(|slot| matches!(slot.state, SlotState::GivingUp { .. }))
    }

    /// When the attempt began that keeps the cursor from passing deliveries already done.
    pub(super) fn held_since(&self) -> Option<Timestamp> {
        let first = self.slots.get(self.done)?;
        // Settled ones before it wait for their settlement, unless they are of the same event.
        if self.first() != Some(first.due.event.seq) {
            return None;
        }
        match first.state {
            SlotState::InFlight { started } if self.slots.iter().any(Slot::is_done) => Some(started),
            _ => None,
        }
    }

    /// Parks the attempts at the front that have run for `longer` and hold back deliveries already done;
    /// hands each of them and its start to `parked`.
    pub(super) fn park_stragglers(
        &mut self,
        now: Timestamp,
        longer: Duration,
        mut parked: impl FnMut(&Due, Timestamp),
    ) {
        let Some(last_done) = self.slots.iter().rposition(Slot::is_done) else {
            return;
        };
        for slot in self.slots.range_mut(..last_done) {
            match slot.state {
                SlotState::InFlight { started } if started + longer <= now => {
                    slot.state = SlotState::Parked;
                    parked(&slot.due, started);
                }
                SlotState::InFlight { .. } | SlotState::GivingUp { .. } => break,
                SlotState::Parked | SlotState::Settled => {}
            }
        }
        self.count_done();
    }
}
