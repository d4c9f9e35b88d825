//! Events to measure with.

use pointsman::domain::{event_key::EventKey, timestamp::Timestamp};

/// When all that is measured takes place. Any time will do, as long as its digits are as many as today's.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

pub(crate) fn key(text: &str) -> EventKey {
    EventKey::parse(text).expect("the keys of benchmarks are well-formed")
}
