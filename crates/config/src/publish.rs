//! The section `[publish]`.

use serde::Deserialize;

use super::rule::Rule;

/// Bounds on what publishers send.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// Bytes of one publish request.
    pub max_body_bytes: usize,
    /// Bytes of one batch request; never less than `max_body_bytes`.
    pub max_batch_bytes: usize,
    /// Events accepted but not yet committed, over all workspaces; at least one.
    pub max_in_flight: usize,
    /// Bytes of request bodies being read, over all connections; never less than `max_batch_bytes`.
    pub max_buffered_bytes: usize,
}

impl Publish {
    /// Events of one workspace accepted but not yet committed: a quarter of all, at least one.
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
