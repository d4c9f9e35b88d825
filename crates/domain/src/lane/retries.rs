//! The deliveries of the retry table: which are loaded, which are busy, when to look again.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use super::{DeliveryKey, GivenUp, RetryRow};
use crate::{attempt::DeliveryKind, event::PlatformEvent, id::DeadLetterId, seq::Seq, timestamp::Timestamp};

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
    /// Some of these rows may be `LIVE`. Only where there is a `next_at`, so that a read will tell.
    live: bool,
    /// A read is outstanding.
    reading: bool,
    /// What `live` was when that read was asked for.
    live_before: bool,
    /// What stopped being busy since that read was asked for: its answer may show these rows as they were
    /// before.
    released: BTreeSet<DeliveryKey>,
    loaded: VecDeque<RetryRow>,
    busy: BTreeMap<DeliveryKey, Busy>,
}

impl Retries {
    /// What the table holds at first: the earliest time in it, and whether rows of it are `LIVE`.
    pub(super) fn new(next_at: Option<Timestamp>, live: bool) -> Self {
        Self {
            next_at,
            live: live && next_at.is_some(),
            ..Self::default()
        }
    }

    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.next_at
    }

    pub(super) fn loaded(&self) -> usize {
        self.loaded.len()
    }

    pub(super) fn busy(&self) -> usize {
        self.busy.len()
    }

    /// The loaded rows, the earliest first.
    pub(super) fn rows(&self) -> impl Iterator<Item = &RetryRow> {
        self.loaded.iter()
    }

    /// Whether a `LIVE` delivery may be waiting for its retry, or in it. Settlements on their way know more.
    pub(super) fn has_live(&self) -> bool {
        let is_live = |key: &DeliveryKey| key.kind == DeliveryKind::Live;
        self.live
            || (self.reading && self.live_before)
            // `LIVE` keys come first.
            || self.busy.keys().next().is_some_and(is_live)
            || self.loaded.iter().any(|row| is_live(&row.key))
    }

    /// The attempts in flight, stragglers among them.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = DeliveryKey> {
        self.busy
            .iter()
            .filter(|(_, busy)| matches!(busy.stage, Stage::InFlight))
            .map(|(key, _)| *key)
    }

    /// No row that is known of is due before this time; `None` if there is no row. As long as one is busy or
    /// a read is outstanding, nothing can be said: then it is the beginning of time.
    pub(super) fn earliest(&self) -> Option<Timestamp> {
        if self.reading || !self.busy.is_empty() {
            return Some(Timestamp::from_millis(i64::MIN));
        }
        let loaded = self.loaded.iter().map(|row| row.next_attempt_at);
        loaded.chain(self.next_at).min()
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
        self.live_before = std::mem::take(&mut self.live);
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
        // Of the rows that were not returned nobody knows the kind, but where none was left none is LIVE.
        self.live |= self.live_before && next_at.is_some();
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

    /// The loaded row that has been due longest, of those that the caller may take.
    pub(super) fn take_loaded(&mut self, may_take: impl Fn(&RetryRow) -> bool) -> Option<RetryRow> {
        let first = self.loaded.iter().position(may_take)?;
        self.loaded.remove(first)
    }

    /// Likewise, but a `LIVE` row only if none of an earlier event is loaded that may be taken.
    pub(super) fn take_loaded_in_order(&mut self, may_take: impl Fn(&RetryRow) -> bool) -> Option<RetryRow> {
        let takeable = || self.loaded.iter().enumerate().filter(|(_, row)| may_take(row));
        let is_live = |row: &RetryRow| row.key.kind == DeliveryKind::Live;
        let (mut place, first) = takeable().next()?;
        if is_live(first) {
            let live = takeable().filter(|(_, row)| is_live(row));
            place = live.min_by_key(|(_, row)| row.event.seq)?.0;
        }
        self.loaded.remove(place)
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
        self.live |= key.kind == DeliveryKind::Live && next_attempt_at.is_some();
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
