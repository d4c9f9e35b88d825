//! The ledger: the durable cursor, the outstanding settlement, and the rows gathered for the next one.

use std::collections::{BTreeMap, BTreeSet};

use super::{DeliveryKey, Due, LetterChange, ParkedRetry, Settlement, retry_table::Released};
use crate::{attempt::DeliveryKind, id::EventId, seq::Seq, timestamp::Timestamp};

/// At most one settlement is outstanding; what comes meanwhile goes into the next, so that a busy lane
/// batches by itself.
#[derive(Debug)]
pub(super) struct Ledger {
    durable: Seq,
    park: BTreeMap<DeliveryKey, ParkedRetry>,
    remove: BTreeSet<DeliveryKey>,
    outstanding: Option<Outstanding>,
}

/// What the outstanding settlement does.
#[derive(Debug)]
pub(super) struct Outstanding {
    settled: Seq,
    /// The rows it writes, with their times, and the rows it removes, without.
    pub(super) rows: BTreeMap<DeliveryKey, Option<Timestamp>>,
}

/// What follows when a change is durable.
#[derive(Debug)]
pub(super) enum Durable {
    /// The cursor has passed this live delivery.
    Passed(DeliveryKey),
    /// This retry is not busy any more.
    Released(Released),
    /// The letter that waited for a row is to be changed now.
    LetterIsNext(LetterChange),
}

impl Ledger {
    pub(super) fn new(durable: Seq) -> Self {
        Self {
            durable,
            park: BTreeMap::new(),
            remove: BTreeSet::new(),
            outstanding: None,
        }
    }

    /// The durable cursor.
    pub(super) fn durable(&self) -> Seq {
        self.durable
    }

    pub(super) fn is_outstanding(&self) -> bool {
        self.outstanding.is_some()
    }

    /// Whether rows wait for the next settlement.
    pub(super) fn has_rows(&self) -> bool {
        !self.park.is_empty() || !self.remove.is_empty()
    }

    /// Whether a `LIVE` row is being written or removed, or is about to be.
    pub(super) fn has_live_rows(&self) -> bool {
        // `LIVE` keys come first.
        let firsts = [
            self.park.keys().next(),
            self.remove.first(),
            self.outstanding
                .as_ref()
                .and_then(|outstanding| outstanding.rows.keys().next()),
        ];
        firsts
            .into_iter()
            .flatten()
            .any(|key| key.kind == DeliveryKind::Live)
    }

    /// Whether the next or the outstanding settlement changes the row of this delivery, so that what the
    /// retry table says about it is not to be relied on.
    pub(super) fn touches(&self, key: DeliveryKey) -> bool {
        self.park.contains_key(&key)
            || self.remove.contains(&key)
            || self
                .outstanding
                .as_ref()
                .is_some_and(|outstanding| outstanding.rows.contains_key(&key))
    }

    /// At most how many deliveries [`Ledger::touches`] holds for.
    pub(super) fn touched(&self) -> usize {
        let outstanding = self
            .outstanding
            .as_ref()
            .map_or(0, |outstanding| outstanding.rows.len());
        self.park.len() + self.remove.len() + outstanding
    }

    pub(super) fn park(&mut self, retry: ParkedRetry) {
        self.park.insert(retry.key, retry);
    }

    /// The rows that are written for the event say nothing of the answers to it.
    pub(super) fn erase(&mut self, event: EventId) {
        let of_event = |row: &&mut ParkedRetry| row.key.event_id == event;
        for row in self.park.values_mut().filter(of_event) {
            row.last_error = None;
        }
    }

    /// Parks a delivery whose first attempt does not count, because it has not started or not ended.
    pub(super) fn park_untried(&mut self, due: &Due, next_attempt_at: Timestamp) {
        self.park(ParkedRetry {
            key: due.live_key(),
            seq: due.event.seq,
            attempts: 0,
            next_attempt_at,
            last_error: None,
            last_status: None,
        });
    }

    /// Takes back a row that no settlement has been issued for; false if there is none.
    pub(super) fn take_back(&mut self, key: DeliveryKey) -> bool {
        self.park.remove(&key).is_some()
    }

    pub(super) fn remove(&mut self, key: DeliveryKey) {
        self.remove.insert(key);
    }

    /// The settlement of everything gathered.
    pub(super) fn issue(&mut self, settled: Seq) -> Settlement {
        let park: Vec<_> = std::mem::take(&mut self.park).into_values().collect();
        let remove: Vec<_> = std::mem::take(&mut self.remove).into_iter().collect();
        let written = park.iter().map(|retry| (retry.key, Some(retry.next_attempt_at)));
        let rows = written.chain(remove.iter().map(|key| (*key, None))).collect();
        self.outstanding = Some(Outstanding { settled, rows });
        Settlement {
            settled,
            park,
            remove,
        }
    }

    /// The outstanding settlement is durable.
    pub(super) fn settled(&mut self) -> Option<Outstanding> {
        let outstanding = self.outstanding.take()?;
        self.raise(outstanding.settled);
        Some(outstanding)
    }

    /// The cursor was written up to here.
    pub(super) fn raise(&mut self, settled: Seq) {
        self.durable = self.durable.max(settled);
    }
}
