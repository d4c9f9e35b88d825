//! The section `[in_process]`.

use std::time::Duration;

use serde::Deserialize;

use super::{
    rule::{MAX_THREADS, Rule, hours, is_some_time_up_to},
    threads::threads_or_cores,
};

/// Bounds on in-process handlers.
///
/// ```
/// # mod pointsman { pub use pointsman_config as config; }
/// use std::time::Duration;
///
/// use pointsman::config::Config;
///
/// let config = Config::from_sources(Some("[in_process]\nsync_timeout = \"250ms\""), [])?;
/// assert_eq!(config.in_process.sync_timeout, Duration::from_millis(250));
/// assert!(config.in_process.executor_thread_count() >= 1);
/// # Ok::<(), pointsman::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InProcess {
    /// The longest time of one attempt of a synchronous handler, and the longest time that a publisher waits for it:
    /// 1 ms to 1 h.
    #[serde(with = "humantime_serde")]
    pub sync_timeout: Duration,
    /// The longest time of one attempt of an asynchronous handler: 1 ms to 24 h.
    #[serde(with = "humantime_serde")]
    pub async_timeout: Duration,
    /// The longest time of the writes of an effect: 1 ms to 4 s.
    #[serde(with = "humantime_serde")]
    pub effect_timeout: Duration,
    /// As configured; see [`InProcess::executor_thread_count`].
    executor_threads: usize,
    /// The most handlers of one extension that run at a time over all workspaces, from 1 to 10000. Asynchronous and
    /// synchronous handlers are counted apart.
    pub concurrency: usize,
}

impl InProcess {
    /// Threads of the event executor, at least one: so many for the asynchronous handlers of each extension, and as
    /// many for its synchronous ones.
    pub fn executor_thread_count(&self) -> usize {
        threads_or_cores(self.executor_threads)
    }
}

pub(super) const RULES: &[Rule<InProcess>] = &[
    Rule {
        key: "in_process.sync_timeout",
        allowed: "a duration from 1ms to 1h, such as 5s",
        holds: |in_process| is_some_time_up_to(in_process.sync_timeout, hours(1)),
    },
    Rule {
        key: "in_process.async_timeout",
        allowed: "a duration from 1ms to 24h, such as 5m",
        holds: |in_process| is_some_time_up_to(in_process.async_timeout, hours(24)),
    },
    Rule {
        key: "in_process.effect_timeout",
        allowed: "a duration from 1ms to 4s, such as 250ms",
        // The journal throws its connection away when a transaction takes longer than 5 s, and needs some of them.
        holds: |in_process| is_some_time_up_to(in_process.effect_timeout, Duration::from_secs(4)),
    },
    Rule {
        key: "in_process.executor_threads",
        allowed: "a whole number from 0 (one per core) to 1024",
        holds: |in_process| in_process.executor_threads <= MAX_THREADS,
    },
    Rule {
        key: "in_process.concurrency",
        allowed: "a whole number from 1 to 10000",
        holds: |in_process| (1..=10_000).contains(&in_process.concurrency),
    },
];
