//! The poison tracker: which delivery makes the lane's actor panic.
//!
//! A panic ends an actor with everything that was in flight, and does not tell which delivery caused it. So the lane
//! that follows attempts one delivery at a time until all deliveries that were in flight then are settled. If its actor
//! panics as well, only one delivery can be the culprit.

use std::collections::{BTreeMap, BTreeSet};

use super::{DeliveryKey, Input};
use crate::{event::PlatformEvent, seq::Seq, timestamp::Timestamp};

/// A delivery that was the culprit of this many panics becomes a dead letter.
const MAX_PANICS: u32 = 3;

/// Handed from a lane whose actor panicked to its successor. It holds only deliveries that were in flight at a panic
/// and are not settled since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suspicion {
    /// One delivery at a time until the cursor has come here.
    through: Seq,
    /// One delivery at a time until these retries are settled, too.
    retries: BTreeSet<DeliveryKey>,
    /// For each delivery the number of panics that it caused.
    panics: BTreeMap<DeliveryKey, u32>,
}

/// The suspicion that a lane was started with, without the deliveries that are cleared since.
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

    /// The input is handled, and all commands that followed from it are executed.
    pub(super) fn input_ended(&mut self) {
        self.ending = None;
    }

    /// Whether attempts go one at a time, each when the one before is durably settled.
    pub(super) fn is_suspecting(&self) -> bool {
        self.suspicion != Suspicion::default()
    }

    /// How many panics the delivery caused, if these are too many for another attempt.
    pub(super) fn too_many_panics(&self, key: DeliveryKey) -> Option<u32> {
        let panics = *self.suspicion.panics.get(&key)?;
        (panics >= MAX_PANICS).then_some(panics)
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
        // The retry row of a delivery that has just ended may still be in the table: its settlement may not be durable.
        after.retries.extend(retries.chain(self.ending));
        after
    }
}
