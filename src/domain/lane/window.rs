//! The live deliveries that were started, in the order of the log.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use crate::domain::{event::PlatformEvent, id::EventId, seq::Seq, timestamp::Timestamp};

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
pub(super) struct Slot {
    pub(super) event: Arc<PlatformEvent>,
    pub(super) state: SlotState,
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
}

impl Window {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Adds the next event of the log.
    pub(super) fn push(&mut self, event: Arc<PlatformEvent>, state: SlotState) {
        self.slots.push_back(Slot { event, state });
    }

    pub(super) fn slot(&mut self, event_id: EventId) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.event.id == event_id)
    }

    /// The first event that a settlement may not pass.
    pub(super) fn first_unsettled(&self) -> Option<Seq> {
        self.slots
            .iter()
            .find(|slot| !slot.is_done())
            .map(|slot| slot.event.seq)
    }

    /// The first event that the cursor may not pass without a settlement, leaving `given_up` aside.
    pub(super) fn first_not_durable(&self, given_up: Option<EventId>) -> Option<Seq> {
        self.slots
            .iter()
            .find(|slot| slot.state != SlotState::Settled && Some(slot.event.id) != given_up)
            .map(|slot| slot.event.seq)
    }

    /// Whether a settlement would move the cursor over an event that was due.
    pub(super) fn front_is_done(&self) -> bool {
        self.slots.front().is_some_and(Slot::is_done)
    }

    /// The durable cursor has passed everything up to here; hands each slot that goes to `passed`.
    pub(super) fn drop_through(&mut self, settled: Seq, mut passed: impl FnMut(&PlatformEvent)) {
        while let Some(slot) = self.slots.front().filter(|slot| slot.event.seq <= settled) {
            passed(&slot.event);
            self.slots.pop_front();
        }
    }

    /// The last delivery that was started.
    pub(super) fn last(&self) -> Option<Seq> {
        self.slots.back().map(|slot| slot.event.seq)
    }

    /// The deliveries in flight, leaving stragglers aside.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = &PlatformEvent> {
        self.slots
            .iter()
            .filter(|slot| matches!(slot.state, SlotState::InFlight { .. }))
            .map(|slot| &*slot.event)
    }

    /// Whether a letter is being written.
    pub(super) fn is_giving_up(&self) -> bool {
        self.slots
            .iter()
            .any(|slot| matches!(slot.state, SlotState::GivingUp { .. }))
    }

    /// When the attempt began that keeps the cursor from passing deliveries already done.
    pub(super) fn held_since(&self) -> Option<Timestamp> {
        match self.slots.front()?.state {
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
        mut parked: impl FnMut(&Arc<PlatformEvent>, Timestamp),
    ) {
        let Some(last_done) = self.slots.iter().rposition(Slot::is_done) else {
            return;
        };
        for slot in self.slots.range_mut(..last_done) {
            match slot.state {
                SlotState::InFlight { started } if started + longer <= now => {
                    slot.state = SlotState::Parked;
                    parked(&slot.event, started);
                }
                SlotState::InFlight { .. } | SlotState::GivingUp { .. } => break,
                SlotState::Parked | SlotState::Settled => {}
            }
        }
    }
}
