//! Publishing under an `Idempotency-Key`.

#![warn(missing_docs)]

use super::id::EventId;

/// Names one publish of a workspace, so that repeating it creates nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// 1 to 255 visible ASCII characters, unique per workspace for 24 h.
    pub key: Box<str>,
    /// Of the raw bytes of the request's body.
    pub body_sha256: [u8; 32],
}

/// The events that a publish has recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// In the order sent.
    pub event_ids: Vec<EventId>,
    /// An earlier publish recorded them: under the same key and with the same body, or by the same handler.
    pub replayed: bool,
}
