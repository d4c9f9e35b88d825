//! The only source of time, identifiers and randomness.

use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::domain::timestamp::Timestamp;

/// The clock of the process. Cheap to copy.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the ambient clock"
)]
impl Clock {
    /// The wall clock.
    pub fn now(self) -> Timestamp {
        Timestamp::from_millis(chrono::Utc::now().timestamp_millis())
    }

    /// The monotonic clock, for measuring durations.
    pub fn instant(self) -> Instant {
        Instant::now()
    }

    /// Time passed since `start`.
    pub fn elapsed(self, start: Instant) -> Duration {
        Instant::now().saturating_duration_since(start)
    }

    /// A UUID v7: unique and, within this process, increasing.
    pub fn new_uuid(self) -> Uuid {
        Uuid::now_v7()
    }

    /// A uniformly random number in `[0, 1)`.
    pub fn random(self) -> f64 {
        rand::random()
    }
}
