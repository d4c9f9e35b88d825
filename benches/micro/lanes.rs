//! All steps of a lane, from events that are read to their settlement. Every delivery succeeds.

mod driver;

use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use driver::{ATTEMPT_TIMEOUT, Driver};
use pointsman_domain::{event::PlatformEvent, handler_name::HandlerName, lane::Due, seq::Seq};

use crate::events::event;

/// How many events are read at once.
const PAGES: [i64; 2] = [1, 64];

/// The size does not matter much: of a payload, a lane uses only the length.
const PAYLOAD_BYTES: usize = 200;

/// The number of pages made ahead. It is small, so that their events are still in the caches when they are used.
const AHEAD: BatchSize = BatchSize::NumIterations(16);

/// The answer to one read.
struct Page {
    through: Seq,
    due: Vec<Due>,
    /// Kept until after the last step, so that freeing the events is not measured.
    events: Vec<Arc<PlatformEvent>>,
}

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lane");
    for events in PAGES {
        group.throughput(Throughput::Elements(events.unsigned_abs()));
        group.bench_function(BenchmarkId::new("events to settlement", events), |bencher| {
            let mut driver = Driver::start();
            let mut head = Seq::ZERO;
            let next_page = || {
                let page = page(head, events);
                head = page.through;
                page
            };
            let deliver = |page: Page| {
                driver.deliver(page.through, page.due);
                page.events
            };
            bencher.iter_batched(next_page, deliver, AHEAD);
        });
    }
    group.finish();
}

/// The next so many events after `head`.
fn page(head: Seq, count: i64) -> Page {
    let seqs = (1..=count).map(|nth| Seq::new(head.get() + nth));
    let events: Vec<_> = seqs.map(|seq| Arc::new(event(seq, PAYLOAD_BYTES))).collect();
    let due = events.iter().map(|event| Due {
        event: event.clone(),
        handler: HandlerName::WHOLE,
        attempt_timeout: ATTEMPT_TIMEOUT,
    });
    Page {
        through: Seq::new(head.get() + count),
        due: due.collect(),
        events,
    }
}
