//! The events of the benchmarks.

use pointsman_domain::{
    event::{NewEvent, PlatformEvent},
    event_key::EventKey,
    id::{EventId, WorkspaceId},
    seq::Seq,
    timestamp::Timestamp,
};
use uuid::Uuid;

/// The time of everything that is measured. Any time with as many digits as today's gives the same figures.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

pub(crate) fn key(text: &str) -> EventKey {
    EventKey::parse(text).expect("the keys of benchmarks are well-formed")
}

/// The event at this position of the log, with a payload of so many bytes. The same position has the same id each time.
pub(crate) fn event(seq: Seq, payload_bytes: usize) -> PlatformEvent {
    let number = seq.get().unsigned_abs();
    let new = NewEvent {
        id: EventId::new(Uuid::from_u128(u128::from(number))),
        event_key: key("crm.deal.closed"),
        schema_version: Some("1.0".into()),
        actor: Some("user:4711".into()),
        payload: payload(payload_bytes).into(),
        occurred_at: NOW,
        traceparent: None,
        cause: None,
    };
    PlatformEvent::record(WorkspaceId::new(Uuid::from_u128(1)), seq, new)
}

/// A JSON object of so many bytes, at least 11.
fn payload(bytes: usize) -> Box<str> {
    let empty = r#"{"text":""}"#;
    let text = "x".repeat(bytes.saturating_sub(empty.len()));
    format!(r#"{{"text":"{text}"}}"#).into()
}
