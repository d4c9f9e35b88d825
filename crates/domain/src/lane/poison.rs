//! Which delivery makes the lane's actor panic.
//!
//! A panic ends an actor with everything that was in flight, and names nobody. So the lane that follows goes
//! one delivery at a time until it is past what was in flight then; if it panics as well, there is one culprit.

use std::collections::{BTreeMap, BTreeSet};

use super::{DeliveryKey, Input};
use crate::{event::PlatformEvent, seq::Seq, timestamp::Timestamp};

/// So many panics of which a delivery was the culprit make it a dead letter.
const PANICS: u32 = 3;

/// Handed from a lane whose actor panicked to its successor. It holds no more than what was in flight at the
/// panics, and of that only what is not settled since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suspicion {
    /// One delivery at a time until the cursor has come here.
    through: Seq,
    /// And until these retries are settled.
    retries: BTreeSet<DeliveryKey>,
    /// Panics of which the delivery was the culprit.
    panics: BTreeMap<DeliveryKey, u32>,
}

/// The suspicion that a lane was started with, as far as it still stands.
#[derive(Debug)]
pub(super) struct PoisonTracker {
    suspicion: Suspicion,
    /// Suspected retries that are still in the retry table were due before this.
    retries_due_by: Timestamp,
    /// The delivery whose attempt ended with the input that is being handled. It is not in flight any more, but may
    /// be what the actor panics over.
    ending: Option<DeliveryKey>,
}

impl PoisonTracker {
    pub(super) fn new(suspicion: Suspicion, retries_due_by: Timestamp) -> Self {
        Self {
            suspicion,
            retries_due_by,
            ending: None,
        }
    }

    /// An input is about to be handled.
    pub(super) fn input_starts(&mut self, input: &Input) {
        self.ending = match input {
            Input::AttemptFinished { key, .. } => Some(*key),
            _ => None,
        };
    }

    /// The input is handled, and all that came of it is done.
    pub(super) fn input_ended(&mut self) {
        self.ending = None;
    }

    /// Whether attempts go one at a time, each when the one before is durably settled.
    pub(super) fn is_suspecting(&self) -> bool {
        self.suspicion != Suspicion::default()
    }

    /// How often the delivery was the culprit, if that is too often.
    pub(super) fn too_many_panics(&self, key: DeliveryKey) -> Option<u32> {
        let panics = *self.suspicion.panics.get(&key)?;
        (panics >= PANICS).then_some(panics)
    }

    /// Whether the delivery must not be attempted, whatever the gate says: its event has a defect, or it has made the
    /// actor panic too often.
    pub(super) fn forbids(&self, key: DeliveryKey, event: &PlatformEvent) -> bool {
        event.defect.is_some() || self.too_many_panics(key).is_some()
    }

    /// The delivery is durably settled.
    pub(super) fn clear(&mut self, key: DeliveryKey) {
        self.suspicion.retries.remove(&key);
        self.suspicion.panics.remove(&key);
    }

    /// Ends the poison once the durable cursor and the retries are past what was in flight. `retries_wait_from`
    /// is the earliest time in the retry table, loaded rows included; none of a busy table counts.
    pub(super) fn review(&mut self, durable: Seq, retries_wait_from: Option<Timestamp>) {
        // What was in flight and is not found any more had its row removed just before the panic.
        if retries_wait_from.is_none_or(|at| at > self.retries_due_by) {
            self.suspicion.retries.clear();
        }
        if durable >= self.suspicion.through && self.suspicion.retries.is_empty() {
            self.suspicion = Suspicion::default();
        }
    }

    /// What a successor has to know after a panic: `through` is the last live delivery that was started,
    /// `in_flight` are the attempts that ran. Does nothing that can panic.
    pub(super) fn after_panic(
        &self,
        through: Option<Seq>,
        in_flight: impl Iterator<Item = DeliveryKey>,
        retries: impl Iterator<Item = DeliveryKey>,
    ) -> Suspicion {
        let mut after = self.suspicion.clone();
        let suspects: BTreeSet<DeliveryKey> = in_flight.chain(self.ending).collect();
        if suspects.is_empty() {
            return after;
        }
        if let (true, 1, Some(culprit)) = (self.is_suspecting(), suspects.len(), suspects.first()) {
            let panics = after.panics.entry(*culprit).or_default();
            *panics = panics.saturating_add(1);
        }
        after.through = after.through.max(through.unwrap_or_default());
        // The row of what has just ended may not have been written.
        after.retries.extend(retries.chain(self.ending));
        after
    }
}
