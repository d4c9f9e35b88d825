//! The subscriptions that match an event: by the index, and by testing one pattern after the other.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion};
use pointsman_domain::{
    event_key::EventKey,
    event_pattern::{EventPattern, PatternIndex},
    id::InstallationId,
};
use uuid::Uuid;

use crate::events::key;

/// The number of patterns of a workspace.
const COUNTS: [usize; 3] = [10, 1_000, 100_000];

/// The patterns for the events of each service. Most are exact.
const KINDS: [&str; 10] = [
    "deal.closed",
    "deal.opened",
    "deal.lost",
    "contact.created",
    "contact.changed",
    "contact.merged",
    "invoice.paid",
    "*.closed",
    "deal.*",
    "**",
];

/// How many of [`KINDS`] match `deal.closed`. As many are found among few patterns as among many.
const FOUND: usize = 4;

/// The number of keys, which are looked up in turn. The parts of a large index that they read do not fit into the first
/// caches of the processor.
const KEYS: usize = 4_096;

type Owned = (EventPattern, InstallationId);

pub(crate) fn measure(criterion: &mut Criterion) {
    let largest = COUNTS.into_iter().max().unwrap_or(0);
    let all: Vec<Owned> = (0..largest).map(owned_pattern).collect();
    let mut group = criterion.benchmark_group("matching");
    // Testing one pattern after the other takes milliseconds for the largest count.
    group.sample_size(30);
    for count in COUNTS {
        let patterns = &all[..count];
        let index = index(patterns);
        let keys = keys(count);
        assert_eq!(found_by_index(&index, &keys[0]), FOUND);
        assert_eq!(found_one_by_one(patterns, &keys[0]), FOUND);
        group.bench_function(BenchmarkId::new("index", count), |bencher| {
            let mut keys = keys.iter().cycle();
            bencher.iter(|| keys.next().map(|key| found_by_index(&index, black_box(key))));
        });
        group.bench_function(BenchmarkId::new("one by one", count), |bencher| {
            let mut keys = keys.iter().cycle();
            bencher.iter(|| keys.next().map(|key| found_one_by_one(patterns, black_box(key))));
        });
    }
    group.finish();
}

fn found_by_index(index: &PatternIndex<InstallationId>, key: &EventKey) -> usize {
    let mut found = 0;
    index.find(key, |owner| {
        black_box(owner);
        found += 1;
    });
    found
}

fn found_one_by_one(patterns: &[Owned], key: &EventKey) -> usize {
    let mut found = 0;
    for (_, owner) in patterns.iter().filter(|(pattern, _)| pattern.matches(key)) {
        black_box(owner);
        found += 1;
    }
    found
}

fn owned_pattern(number: usize) -> Owned {
    let (service, kind) = (number / KINDS.len(), KINDS[number % KINDS.len()]);
    let pattern = EventPattern::parse(&format!("service-{service}.{kind}"))
        .expect("the patterns of benchmarks are well-formed");
    (pattern, InstallationId::new(Uuid::from_u128(number as u128)))
}

fn index(patterns: &[Owned]) -> PatternIndex<InstallationId> {
    let mut index = PatternIndex::default();
    for (pattern, owner) in patterns {
        index.insert(pattern, *owner);
    }
    index
}

/// Keys of services that are spread over all services of so many patterns.
fn keys(count: usize) -> Vec<EventKey> {
    let services = count / KINDS.len();
    let key_of = |nth| key(&format!("service-{}.deal.closed", nth * services / KEYS));
    (0..KEYS).map(key_of).collect()
}
