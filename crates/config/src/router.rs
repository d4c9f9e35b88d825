//! The section `[router]`.

use std::time::Duration;

use serde::Deserialize;

use super::{
    rule::{MAX_THREADS, Rule, days, is_some_time_up_to},
    threads::threads_or_cores,
};

/// The threads of workspaces and deliveries, and what stays in memory.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Router {
    /// As configured; see [`Router::thread_count`].
    threads: usize,
    #[serde(with = "humantime_serde")]
    pub passivate_after: Duration,
    /// Events that may stand before one that a handler publishes, the one that it handles included.
    pub max_causation_depth: u32,
}

impl Router {
    /// Threads that run workspaces and their deliveries, at least one.
    pub fn thread_count(&self) -> usize {
        threads_or_cores(self.threads)
    }
}

pub(super) const RULES: &[Rule<Router>] = &[
    Rule {
        key: "router.threads",
        allowed: "a whole number from 0 (one per core) to 1024",
        holds: |router| router.threads <= MAX_THREADS,
    },
    Rule {
        key: "router.passivate_after",
        allowed: "a duration from 1ms to 30d, such as 5m",
        holds: |router| is_some_time_up_to(router.passivate_after, days(30)),
    },
    Rule {
        key: "router.max_causation_depth",
        allowed: "a whole number from 1 to 1000",
        holds: |router| (1..=1000).contains(&router.max_causation_depth),
    },
];
