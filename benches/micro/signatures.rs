//! The signature of a delivery.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use pointsman_domain::{
    id::EventId,
    signing::{SigningKeys, SigningSecret},
};
use uuid::Uuid;

use crate::events::NOW;

/// Sizes of bodies, in bytes.
const BODIES: [usize; 3] = [200, 2 * 1024, 64 * 1024];

pub(crate) fn measure(criterion: &mut Criterion) {
    let current = SigningSecret::from_random([1; 32]);
    let previous = SigningSecret::from_random([2; 32]);
    let one = SigningKeys::new(&current, None);
    let two = SigningKeys::new(&current, Some(&previous));
    let id = EventId::new(Uuid::from_u128(1));

    let mut group = criterion.benchmark_group("signature");
    for bytes in BODIES {
        let body = vec![b'x'; bytes];
        group.throughput(Throughput::Bytes(bytes as u64));
        for (secrets, keys) in [("one secret", &one), ("two secrets", &two)] {
            group.bench_function(BenchmarkId::new(secrets, bytes), |bencher| {
                bencher.iter(|| keys.sign(id, NOW.seconds(), black_box(&body)));
            });
        }
    }
    group.finish();
}
