//! Signs of life.

use pointsman_domain::timestamp::Timestamp;

/// What a service has shown by its answers.
#[derive(Debug, Default)]
pub(super) struct Signs {
    /// Since its last sign of life.
    pub(super) failures: u32,
    /// The most failures between two signs of life.
    pub(super) most_failures: u32,
    pub(super) last_failure: Option<Timestamp>,
}
