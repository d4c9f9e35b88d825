//! The retry table as the lane knows it: which rows are loaded and not started, and when to look again.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use super::{DeliveryKey, LaneCommand, RetryRow};
use crate::{attempt::DeliveryKind, event::PlatformEvent, timestamp::Timestamp};

#[derive(Debug, Default)]
pub(super) struct RetryTable {
    /// The earliest time among the rows that are neither loaded nor busy.
    next_at: Option<Timestamp>,
    /// Some of these rows may be `LIVE`. Only where there is a `next_at`, so that a read will tell.
    live: bool,
    /// A read is outstanding.
    reading: bool,
    /// What `live` was when that read was asked for.
    live_before: bool,
    /// The deliveries released since that read was asked for: its answer may show their rows as they were before.
    released: BTreeSet<DeliveryKey>,
    loaded: VecDeque<RetryRow>,
}

/// What a lane knows of the delivery of a row that it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It is busy: its row must not be attempted.
    Busy,
    /// A settlement is about to change its row.
    Changing,
    Nothing,
}

/// A retry that is durably settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Released {
    pub(super) key: DeliveryKey,
    /// The time of its row if it still has one.
    pub(super) next_attempt_at: Option<Timestamp>,
    /// A read met a row with this key while it was busy. A `REPLAY` row may be a new one.
    pub(super) was_seen: bool,
}

impl RetryTable {
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

    /// The loaded rows, the earliest first.
    pub(super) fn rows(&self) -> impl Iterator<Item = &RetryRow> {
        self.loaded.iter()
    }

    /// Whether a `LIVE` delivery may be waiting for its retry. Busy ones are not among them.
    pub(super) fn has_live(&self) -> bool {
        self.live || (self.reading && self.live_before) || self.loaded.iter().any(|row| is_live(&row.key))
    }

    /// No row that is neither busy nor unknown is due before this time; `None` if there is no row. While a read is
    /// outstanding nothing is known: then it is the beginning of time.
    pub(super) fn earliest(&self) -> Option<Timestamp> {
        if self.reading {
            return Some(Timestamp::MIN);
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

    /// Asks for the rows due at this time or before, if there may be any and the table may be read.
    pub(super) fn read(&mut self, due_by: Timestamp, limit: usize) -> Option<LaneCommand> {
        if !self.may_read() || self.next_at.is_none_or(|at| at > due_by) {
            return None;
        }
        self.reading = true;
        self.next_at = None;
        self.live_before = std::mem::take(&mut self.live);
        self.released.clear();
        Some(LaneCommand::ReadRetries { due_by, limit })
    }

    /// Takes the answer of a read. It leaves out the rows of busy deliveries and the rows that changed after the read
    /// was asked for, because the answer may be older than the change.
    pub(super) fn read_ended(
        &mut self,
        rows: Vec<RetryRow>,
        next_at: Option<Timestamp>,
        mut known: impl FnMut(DeliveryKey) -> Known,
    ) {
        if !std::mem::take(&mut self.reading) {
            return;
        }
        // The rows that were not returned may be of any kind. If there are none, none of them is LIVE.
        self.live |= self.live_before && next_at.is_some();
        next_at.into_iter().for_each(|at| self.note(at));
        for row in rows {
            match known(row.key) {
                Known::Busy => {}
                // What came of a LIVE row was noted at its release. A REPLAY row may be a new replay of the same
                // letter: look again, now that the answer cannot be older than the release.
                _ if self.released.contains(&row.key) => {
                    if row.key.kind == DeliveryKind::Replay {
                        self.note(row.next_attempt_at);
                    }
                }
                Known::Changing => {}
                Known::Nothing => self.loaded.push_back(row),
            }
        }
        self.released.clear();
    }

    /// Puts the event in the place of its former copies.
    pub(super) fn erase(&mut self, event: &Arc<PlatformEvent>) {
        let of_event = |row: &&mut RetryRow| row.event.id == event.id;
        for row in self.loaded.iter_mut().filter(of_event) {
            row.event = Arc::clone(event);
            row.last_error = None;
        }
    }

    /// Takes the loaded row that has been due longest, of those that the caller may take.
    pub(super) fn take_loaded(&mut self, may_take: impl Fn(&RetryRow) -> bool) -> Option<RetryRow> {
        let first = self.loaded.iter().position(may_take)?;
        self.loaded.remove(first)
    }

    /// Likewise, but takes a `LIVE` row only if no loaded row of an earlier event may be taken.
    pub(super) fn take_loaded_in_order(&mut self, may_take: impl Fn(&RetryRow) -> bool) -> Option<RetryRow> {
        let takeable = || self.loaded.iter().enumerate().filter(|(_, row)| may_take(row));
        let (mut position, first) = takeable().next()?;
        if is_live(&first.key) {
            let live = takeable().filter(|(_, row)| is_live(&row.key));
            position = live.min_by_key(|(_, row)| row.event.seq)?.0;
        }
        self.loaded.remove(position)
    }

    /// A retry is durably settled and no longer busy.
    pub(super) fn released(&mut self, released: Released, now: Timestamp) {
        let Released {
            key,
            next_attempt_at,
            was_seen,
        } = released;
        if self.reading {
            self.released.insert(key);
        }
        self.live |= is_live(&key) && next_attempt_at.is_some();
        next_attempt_at.into_iter().for_each(|at| self.note(at));
        if was_seen && !is_live(&key) {
            self.note(now);
        }
    }
}

fn is_live(key: &DeliveryKey) -> bool {
    key.kind == DeliveryKind::Live
}

#[cfg(test)]
mod tests;
