//! The section `[router]`.

use std::time::Duration;

use serde::Deserialize;

use super::{
    rule::{MAX_THREADS, Rule, days, is_some_time_up_to},
    threads::threads_or_cores,
};

/// The threads of workspaces and deliveries, and what stays in memory.
///
/// ```
/// # mod pointsman { pub use pointsman_config as config; }
/// use pointsman::config::Config;
///
/// let config = Config::from_sources(Some("[router]\nthreads = 2"), [])?;
/// assert_eq!(config.router.thread_count(), 2);
/// # Ok::<(), pointsman::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Router {
    /// As configured; see [`Router::thread_count`].
    threads: usize,
    /// A workspace that has had nothing to do for this long leaves memory: 1 ms to 30 d.
    #[serde(with = "humantime_serde")]
    pub passivate_after: Duration,
    /// The most events in the chain of causes before an event that a handler publishes, from 1 to 1000. The event
    /// that is being handled is one of them.
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
