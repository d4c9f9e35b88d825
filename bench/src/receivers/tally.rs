//! Counts of what the receivers have received.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use crate::{event, latency::Latencies, time};

/// An event that comes more than this behind a later one is out of order. Deliveries that are in flight at the same
/// time are not so far apart.
const WINDOW: u64 = 256;

/// The counts of all receivers of a thread.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    delivered: AtomicU64,
    /// When the last delivery came.
    last: AtomicU64,
    accepted: AtomicU64,
    open: AtomicU64,
    timing: AtomicBool,
    latencies: Mutex<Latencies>,
    ordering: AtomicBool,
    furthest: AtomicU64,
    out_of_order: AtomicU64,
}

impl Tally {
    /// Deliveries so far.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Acquire)
    }

    /// When the last delivery came.
    pub(crate) fn last(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    /// Connections accepted so far.
    pub(crate) fn accepted_connections(&self) -> u64 {
        self.accepted.load(Ordering::Acquire)
    }

    pub(crate) fn open_connections(&self) -> u64 {
        self.open.load(Ordering::Acquire)
    }

    /// Checks the order of events from here on. All of them must have been filled in: only these have sequence numbers.
    pub(crate) fn check_order(&self) {
        self.furthest.store(0, Ordering::Release);
        self.out_of_order.store(0, Ordering::Release);
        self.ordering.store(true, Ordering::Release);
    }

    /// Events that came more than 256 behind a later one, since [`Tally::check_order`].
    pub(crate) fn out_of_order(&self) -> u64 {
        self.out_of_order.load(Ordering::Acquire)
    }

    /// Records the age of each event from here on, and clears the ages that were recorded before.
    pub(crate) fn start_timing(&self) {
        *self.latencies() = Latencies::default();
        self.timing.store(true, Ordering::Release);
    }

    /// The ages of the events since [`Tally::start_timing`].
    pub(crate) fn take_latencies(&self) -> Latencies {
        self.timing.store(false, Ordering::Release);
        std::mem::take(&mut *self.latencies())
    }

    pub(super) fn opened(&self) {
        self.accepted.fetch_add(1, Ordering::AcqRel);
        self.open.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn closed(&self) {
        self.open.fetch_sub(1, Ordering::AcqRel);
    }

    /// Counts a delivery with this body.
    pub(super) fn record(&self, body: &[u8]) {
        if self.timing.load(Ordering::Relaxed)
            && let Some(age) = event::age(body)
        {
            self.latencies().record(age);
        }
        if self.ordering.load(Ordering::Relaxed)
            && let Some(number) = event::number(body)
        {
            let furthest = self.furthest.fetch_max(number, Ordering::AcqRel);
            if number + WINDOW < furthest {
                self.out_of_order.fetch_add(1, Ordering::AcqRel);
            }
        }
        self.last.store(time::nanos(), Ordering::Release);
        self.delivered.fetch_add(1, Ordering::AcqRel);
    }

    fn latencies(&self) -> MutexGuard<'_, Latencies> {
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_comes_far_behind_a_later_event_is_out_of_order() {
        let tally = Tally::default();
        tally.check_order();
        for number in [1, 300, 44, 43, 301] {
            tally.record(format!(r#"{{"payload":{{"n":{number}}}}}"#).as_bytes());
        }
        assert_eq!((tally.delivered(), tally.out_of_order()), (5, 1));
    }
}
