//! The body of a delivery, which is assembled once for each event.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use pointsman_domain::seq::Seq;

use crate::events::event;

/// Sizes of payloads, in bytes.
const PAYLOADS: [usize; 3] = [200, 2 * 1024, 64 * 1024];

/// The number of events made ahead. It is small, so that large payloads do not fill the memory.
const AHEAD: BatchSize = BatchSize::NumIterations(64);

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("body");
    for bytes in PAYLOADS {
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::new("assembly", bytes), |bencher| {
            // A new event each time, because an event keeps its body.
            let fresh = || event(Seq::new(1), bytes);
            bencher.iter_batched_ref(fresh, |event| event.delivery_body(), AHEAD);
        });
    }
    group.finish();
}
