//! Events to measure with.

use pointsman::domain::event_key::EventKey;

pub(crate) fn key(text: &str) -> EventKey {
    EventKey::parse(text).expect("the keys of benchmarks are well-formed")
}
