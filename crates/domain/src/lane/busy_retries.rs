//! The retries that were started and are not durably settled.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    DeliveryKey, GivenUp, LetterChange,
    ledger::{Durable, Ledger},
    outcome::{EndedAttempt, Outcome},
    retry_table::Released,
};
use crate::{
    attempt::{AttemptResult, DeliveryKind},
    event::PlatformEvent,
    id::DeadLetterId,
    seq::Seq,
    timestamp::Timestamp,
};

/// Deliveries that have, or are about to have, a row, from the start of their attempt until its result is durable. As
/// long as a delivery is here its row must not be attempted.
#[derive(Debug, Default)]
pub(super) struct BusyRetries(BTreeMap<DeliveryKey, BusyRetry>);

#[derive(Debug)]
struct BusyRetry {
    event: Arc<PlatformEvent>,
    /// The number of the attempt, from 1.
    attempt: u32,
    dead_letter_id: Option<DeadLetterId>,
    stage: Stage,
    /// A read met a row with this key in the meantime.
    was_seen: bool,
}

#[derive(Debug)]
enum Stage {
    InFlight,
    /// A settlement writes or removes the row.
    Settling,
    /// To be given up, after the settlement that writes its row.
    GivingUpNext(Box<GivenUp>),
    /// The letter is being written; `settled` is the cursor that is written with it.
    Writing {
        settled: Seq,
    },
}

/// What follows when an attempt of a retry has ended.
#[derive(Debug)]
pub(super) enum AfterAttempt {
    /// The ledger writes or removes the row.
    Settles,
    /// It was delivered before a row was written for it, and is not busy any more.
    DeliveredWithoutRow,
    ChangesLetter(LetterChange),
}

impl BusyRetries {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether one of them is `LIVE`.
    pub(super) fn has_live(&self) -> bool {
        // `LIVE` keys come first.
        self.0
            .keys()
            .next()
            .is_some_and(|key| key.kind == DeliveryKind::Live)
    }

    /// The attempts in flight, stragglers among them.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = DeliveryKey> {
        self.0
            .iter()
            .filter(|(_, busy)| matches!(busy.stage, Stage::InFlight))
            .map(|(key, _)| *key)
    }

    /// An attempt with this number is in flight.
    pub(super) fn begin(
        &mut self,
        key: DeliveryKey,
        event: Arc<PlatformEvent>,
        attempt: u32,
        dead_letter_id: Option<DeadLetterId>,
    ) {
        let busy = BusyRetry {
            event,
            attempt,
            dead_letter_id,
            stage: Stage::InFlight,
            was_seen: false,
        };
        self.0.insert(key, busy);
    }

    /// The delivery is given up without an attempt: its letter is being written.
    pub(super) fn give_up(&mut self, given_up: &GivenUp) {
        let busy = BusyRetry {
            event: given_up.event.clone(),
            attempt: given_up.attempts,
            dead_letter_id: given_up.dead_letter_id,
            stage: Stage::Writing {
                settled: given_up.settled,
            },
            was_seen: false,
        };
        self.0.insert(given_up.key, busy);
    }

    /// Puts the event in the place of its former copies.
    pub(super) fn erase(&mut self, event: &Arc<PlatformEvent>) {
        let of_event = |(key, _): &(&DeliveryKey, &mut BusyRetry)| key.event_id == event.id;
        for (_, busy) in self.0.iter_mut().filter(of_event) {
            busy.event = Arc::clone(event);
            if let Stage::GivingUpNext(given_up) = &mut busy.stage {
                given_up.event = Arc::clone(event);
                given_up.last_error = None;
            }
        }
    }

    pub(super) fn is_erased(&self, key: DeliveryKey) -> bool {
        self.0.get(&key).is_some_and(|busy| busy.event.is_erased())
    }

    /// A read met a row with this key. True if the delivery is busy.
    pub(super) fn see_row(&mut self, key: DeliveryKey) -> bool {
        let busy = self.0.get_mut(&key);
        busy.map(|busy| busy.was_seen = true).is_some()
    }

    /// The attempt that has ended with this result; gives the result back if no attempt with this key is in flight.
    pub(super) fn ended(
        &self,
        key: DeliveryKey,
        result: AttemptResult,
    ) -> Result<EndedAttempt, AttemptResult> {
        match self.0.get(&key) {
            Some(busy) if matches!(busy.stage, Stage::InFlight) => Ok(EndedAttempt {
                key,
                event: busy.event.clone(),
                attempt: busy.attempt,
                dead_letter_id: busy.dead_letter_id,
                result,
                is_retry: true,
            }),
            _ => Err(result),
        }
    }

    /// `settled` is the cursor that may be written with a letter.
    pub(super) fn attempt_ended(
        &mut self,
        ended: EndedAttempt,
        outcome: Outcome,
        settled: Seq,
        ledger: &mut Ledger,
    ) -> AfterAttempt {
        let key = ended.key;
        let (stage, after) = match (outcome, ended.dead_letter_id) {
            (Outcome::Delivered, Some(dead_letter_id)) => {
                let writing = Stage::Writing {
                    settled: ledger.durable(),
                };
                let replayed = LetterChange::Replayed { key, dead_letter_id };
                (writing, AfterAttempt::ChangesLetter(replayed))
            }
            (Outcome::Delivered, None) if ledger.take_back(key) => {
                self.0.remove(&key);
                return AfterAttempt::DeliveredWithoutRow;
            }
            (Outcome::Delivered, None) => {
                ledger.remove(key);
                (Stage::Settling, AfterAttempt::Settles)
            }
            (Outcome::Parked(at), _) => {
                ledger.park(ended.into_parked(at));
                (Stage::Settling, AfterAttempt::Settles)
            }
            (Outcome::GivenUp(reason), _) => {
                let given_up = Box::new(ended.into_given_up(reason, settled));
                // The letter removes the row; a settlement that comes after it must not write it anew.
                if ledger.touches(key) {
                    (Stage::GivingUpNext(given_up), AfterAttempt::Settles)
                } else {
                    let change = LetterChange::GivenUp(given_up);
                    (Stage::Writing { settled }, AfterAttempt::ChangesLetter(change))
                }
            }
        };
        if let Some(busy) = self.0.get_mut(&key) {
            busy.stage = stage;
        }
        after
    }

    /// The row of the delivery is durably written, with this time, or removed, without one. `durable` is the durable
    /// cursor.
    pub(super) fn row_durable(
        &mut self,
        key: DeliveryKey,
        next_attempt_at: Option<Timestamp>,
        durable: Seq,
    ) -> Option<Durable> {
        match self.0.get_mut(&key).map(|busy| &mut busy.stage) {
            Some(Stage::InFlight | Stage::Writing { .. }) => None,
            Some(stage @ Stage::GivingUpNext(_)) => {
                match std::mem::replace(stage, Stage::Writing { settled: durable }) {
                    Stage::GivingUpNext(given_up) => {
                        Some(Durable::LetterIsNext(LetterChange::GivenUp(given_up)))
                    }
                    _ => None,
                }
            }
            Some(Stage::Settling) | None => Some(Durable::Released(self.release(key, next_attempt_at))),
        }
    }

    /// The letter of the delivery is durable, and the cursor that was written with it; `None` if none was being
    /// written.
    pub(super) fn letter_written(&mut self, key: DeliveryKey) -> Option<(Released, Seq)> {
        let &Stage::Writing { settled } = &self.0.get(&key)?.stage else {
            return None;
        };
        Some((self.release(key, None), settled))
    }

    fn release(&mut self, key: DeliveryKey, next_attempt_at: Option<Timestamp>) -> Released {
        Released {
            key,
            next_attempt_at,
            was_seen: self.0.remove(&key).is_some_and(|busy| busy.was_seen),
        }
    }
}

#[cfg(test)]
mod tests;
