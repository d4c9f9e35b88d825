//! The section `[publish]`.

use serde::Deserialize;

use super::rule::Rule;

/// Bounds on what publishers send.
///
/// ```
/// # mod pointsman { pub use pointsman_config as config; }
/// use pointsman::config::Config;
///
/// let config = Config::from_sources(Some("[publish]\nmax_in_flight = 1000"), [])?;
/// assert_eq!(config.publish.max_in_flight_per_workspace(), 250);
/// # Ok::<(), pointsman::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// The most bytes of one publish request, from 256 to 16 MiB.
    pub max_body_bytes: usize,
    /// The most bytes of one batch request, from `max_body_bytes` to 64 MiB. It has no effect yet.
    pub max_batch_bytes: usize,
    /// The most events accepted but not yet committed, over all workspaces: 1 to 1000000.
    pub max_in_flight: usize,
    /// The most bytes of request bodies held while they arrive, over all connections: `max_batch_bytes` to 64 GiB.
    pub max_buffered_bytes: usize,
}

impl Publish {
    /// The most events of one workspace accepted but not yet committed: a quarter of `max_in_flight`, at least one.
    pub fn max_in_flight_per_workspace(&self) -> usize {
        (self.max_in_flight / 4).max(1)
    }
}

const MIB: usize = 1024 * 1024;

pub(super) const RULES: &[Rule<Publish>] = &[
    Rule {
        key: "publish.max_body_bytes",
        allowed: "a whole number of bytes from 256 to 16777216 (16 MiB)",
        holds: |publish| (256..=16 * MIB).contains(&publish.max_body_bytes),
    },
    Rule {
        key: "publish.max_batch_bytes",
        allowed: "a whole number of bytes from publish.max_body_bytes to 67108864 (64 MiB)",
        holds: |publish| (publish.max_body_bytes..=64 * MIB).contains(&publish.max_batch_bytes),
    },
    Rule {
        key: "publish.max_in_flight",
        allowed: "a whole number from 1 to 1000000",
        holds: |publish| (1..=1_000_000).contains(&publish.max_in_flight),
    },
    Rule {
        key: "publish.max_buffered_bytes",
        allowed: "a whole number of bytes from publish.max_batch_bytes to 68719476736 (64 GiB)",
        holds: |publish| (publish.max_batch_bytes..=1024 * 64 * MIB).contains(&publish.max_buffered_bytes),
    },
];
