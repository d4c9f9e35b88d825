//! What the handlers of the host have seen.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};

use crate::{latency::Latencies, time};

/// The counts of all handlers of the host.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) sync: Handled,
    pub(super) asynchronous: Handled,
    pub(super) busy: Handled,
    pub(super) slow: Handled,
}

/// The counts of one handler.
#[derive(Debug, Default)]
pub(super) struct Handled {
    count: AtomicU64,
    last: AtomicU64,
    latencies: Mutex<Latencies>,
}

/// The figures that the host prints.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct HandlersSeen {
    pub(crate) sync: HandlerFigures,
    pub(crate) asynchronous: HandlerFigures,
    pub(crate) busy: HandlerFigures,
    pub(crate) slow: HandlerFigures,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct HandlerFigures {
    /// Events handled since the start.
    pub(crate) count: u64,
    /// When the last event was handled, on the clock that all processes of the machine share.
    pub(crate) last: u64,
    /// From the time at which an event should leave until it is handled, in milliseconds, since the latencies were
    /// cleared.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Seen {
    pub(super) fn told(&self) -> HandlersSeen {
        HandlersSeen {
            sync: self.sync.told(),
            asynchronous: self.asynchronous.told(),
            busy: self.busy.told(),
            slow: self.slow.told(),
        }
    }

    /// Clears the latencies, and keeps the counts.
    pub(super) fn forget(&self) {
        for handled in [&self.sync, &self.asynchronous, &self.busy, &self.slow] {
            *handled.latencies() = Latencies::default();
        }
    }
}

impl Handled {
    fn latencies(&self) -> MutexGuard<'_, Latencies> {
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an event that is handled now and carries this time.
    pub(super) fn note(&self, carried: u64) {
        let now = time::nanos();
        // The first digit only keeps the width of the number, and is not part of the time.
        let sent = carried % 1_000_000_000_000_000_000;
        self.latencies().record(now.saturating_sub(sent));
        self.last.store(now, Ordering::Release);
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    fn told(&self) -> HandlerFigures {
        let latencies = self.latencies();
        HandlerFigures {
            count: self.count.load(Ordering::Acquire),
            last: self.last.load(Ordering::Acquire),
            p50: latencies.percentile(50.0),
            p99: latencies.percentile(99.0),
        }
    }
}
