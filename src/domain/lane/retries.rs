//! The deliveries of the retry table: which are loaded, which are busy, when to look again.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use super::{DeliveryKey, GivenUp, RetryRow};
use crate::domain::{
    attempt::DeliveryKind, event::PlatformEvent, id::DeadLetterId, seq::Seq, timestamp::Timestamp,
};

/// A delivery that has, or is about to have, a row, from the start of its attempt until what came of it is
/// durable. As long as it is here its row must not be attempted.
#[derive(Debug)]
pub(super) struct Busy {
    pub(super) event: Arc<PlatformEvent>,
    /// The number of the attempt, from 1.
    pub(super) attempt: u32,
    pub(super) dead_letter_id: Option<DeadLetterId>,
    pub(super) stage: Stage,
    /// A read met a row with this key in the meantime. A `REPLAY` row may be a new one.
    seen: bool,
}

#[derive(Debug)]
pub(super) enum Stage {
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

impl Busy {
    pub(super) fn new(
        event: Arc<PlatformEvent>,
        attempt: u32,
        dead_letter_id: Option<DeadLetterId>,
        stage: Stage,
    ) -> Self {
        Self {
            event,
            attempt,
            dead_letter_id,
            stage,
            seen: false,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Retries {
    /// The earliest time among the rows that are neither loaded nor busy.
    next_at: Option<Timestamp>,
    /// A read is outstanding.
    reading: bool,
    /// What stopped being busy since that read was asked for: its answer may show these rows as they were
    /// before.
    released: BTreeSet<DeliveryKey>,
    loaded: VecDeque<RetryRow>,
    busy: BTreeMap<DeliveryKey, Busy>,
}

impl Retries {
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.next_at
    }

    pub(super) fn loaded(&self) -> usize {
        self.loaded.len()
    }

    pub(super) fn busy(&self) -> usize {
        self.busy.len()
    }

    /// There is a row with this time in the table.
    pub(super) fn note(&mut self, at: Timestamp) {
        self.next_at = Some(self.next_at.map_or(at, |earliest| earliest.min(at)));
    }

    /// Whether the table may be read now if a row is due.
    pub(super) fn may_read(&self) -> bool {
        !self.reading && self.loaded.is_empty()
    }

    /// Whether the table holds nothing but rows that are busy.
    pub(super) fn is_exhausted(&self) -> bool {
        self.may_read() && self.next_at.is_none()
    }

    pub(super) fn read_started(&mut self) {
        self.reading = true;
        self.next_at = None;
        self.released.clear();
    }

    /// Takes the answer of a read. Rows of busy deliveries are left alone, and so are rows that changed
    /// after the read was asked for, because the answer may be older than the change. `touched` tells of
    /// deliveries whose row is about to change.
    pub(super) fn read_ended(
        &mut self,
        rows: Vec<RetryRow>,
        next_at: Option<Timestamp>,
        touched: impl Fn(DeliveryKey) -> bool,
    ) {
        if !std::mem::take(&mut self.reading) {
            return;
        }
        next_at.into_iter().for_each(|at| self.note(at));
        for row in rows {
            if let Some(busy) = self.busy.get_mut(&row.key) {
                busy.seen = true;
            } else if self.released.contains(&row.key) {
                // What became of a LIVE row was noted at its release. A REPLAY row may be a new replay of
                // the same letter: look again, now that the answer cannot be older than the release.
                if row.key.kind == DeliveryKind::Replay {
                    self.note(row.next_attempt_at);
                }
            } else if !touched(row.key) {
                self.loaded.push_back(row);
            }
        }
        self.released.clear();
    }

    /// The first loaded row that may start.
    pub(super) fn take_loaded(&mut self, may_start: impl Fn(&RetryRow) -> bool) -> Option<RetryRow> {
        let first = self.loaded.iter().position(may_start)?;
        self.loaded.remove(first)
    }

    pub(super) fn begin(&mut self, key: DeliveryKey, busy: Busy) {
        self.busy.insert(key, busy);
    }

    pub(super) fn get_mut(&mut self, key: DeliveryKey) -> Option<&mut Busy> {
        self.busy.get_mut(&key)
    }

    /// What came of the delivery is durable. `next_attempt_at` is the time of its row if it still has one.
    pub(super) fn release(&mut self, key: DeliveryKey, next_attempt_at: Option<Timestamp>, now: Timestamp) {
        let seen = self.busy.remove(&key).is_some_and(|busy| busy.seen);
        if self.reading {
            self.released.insert(key);
        }
        next_attempt_at.into_iter().for_each(|at| self.note(at));
        if seen && key.kind == DeliveryKind::Replay {
            self.note(now);
        }
    }

    /// Forgets a delivery whose row was never written.
    pub(super) fn forget(&mut self, key: DeliveryKey) {
        self.busy.remove(&key);
    }
}
