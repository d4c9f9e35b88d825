//! The section `[delivery]`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

use super::rule::{Rule, days, hours, is_some_time_up_to};

/// How events are delivered to external services.
///
/// ```
/// # mod pointsman { pub use pointsman_config as config; }
/// use std::time::Duration;
///
/// use pointsman::config::Config;
///
/// let file = "[delivery]\nretry_schedule = [\"1s\", \"1m\"]\nconcurrency = 8";
/// let delivery = Config::from_sources(Some(file), [])?.delivery;
/// assert_eq!(delivery.retry_schedule, [Duration::from_secs(1), Duration::from_secs(60)]);
/// assert_eq!(delivery.extra_ca_file(), None);
/// # Ok::<(), pointsman::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// The longest time of one attempt, from the name look-up to the head of the answer: 1 ms to 1 h.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// The most deliveries in flight per installation, from 1 to `window`.
    pub concurrency: usize,
    /// The most deliveries per installation that are started and not durably settled, from 1 to 65536.
    pub window: usize,
    /// The pauses between attempts, at most 100 of 1 ms to 30 d each; empty means one attempt.
    #[serde(deserialize_with = "durations")]
    pub retry_schedule: Vec<Duration>,
    /// The largest random part that a pause is lengthened by, as a fraction of the pause, from 0 to 1.
    pub jitter: f64,
    /// Failures in a row that open the breaker, from 1 to 1000000.
    pub breaker_failures: u32,
    /// Networks that deliveries may reach although they are not public.
    pub allow_networks: Vec<IpNet>,
    /// As configured; see [`Delivery::extra_ca_file`].
    extra_ca_file: PathBuf,
}

impl Delivery {
    /// A PEM file with certificate authorities that deliveries over TLS trust besides the public ones; `None` where
    /// only those are trusted.
    pub fn extra_ca_file(&self) -> Option<&Path> {
        Some(self.extra_ca_file.as_path()).filter(|file| !file.as_os_str().is_empty())
    }
}

pub(super) const RULES: &[Rule<Delivery>] = &[
    Rule {
        key: "delivery.timeout",
        allowed: "a duration such as 15s, from 1ms to 1h",
        holds: |delivery| is_some_time_up_to(delivery.timeout, hours(1)),
    },
    // Before the concurrency, because its range depends on the window.
    Rule {
        key: "delivery.window",
        allowed: "a whole number from 1 to 65536",
        holds: |delivery| (1..=65_536).contains(&delivery.window),
    },
    Rule {
        key: "delivery.concurrency",
        allowed: "a whole number from 1 to the value of delivery.window",
        holds: |delivery| (1..=delivery.window).contains(&delivery.concurrency),
    },
    Rule {
        key: "delivery.retry_schedule",
        allowed: "a list of at most 100 durations from 1ms to 30d, such as [\"5s\", \"1m\"]",
        holds: |delivery| {
            let schedule = &delivery.retry_schedule;
            schedule.len() <= 100 && schedule.iter().all(|pause| is_some_time_up_to(*pause, days(30)))
        },
    },
    Rule {
        key: "delivery.jitter",
        allowed: "a number from 0 to 1",
        holds: |delivery| (0.0..=1.0).contains(&delivery.jitter),
    },
    Rule {
        key: "delivery.breaker_failures",
        allowed: "a whole number from 1 to 1000000",
        holds: |delivery| (1..=1_000_000).contains(&delivery.breaker_failures),
    },
    Rule {
        key: "delivery.allow_networks",
        allowed: "a list of networks, such as [\"10.0.0.0/8\", \"::1/128\"]",
        holds: |_| true,
    },
    Rule {
        key: "delivery.extra_ca_file",
        allowed: "the path of a PEM file, or empty",
        holds: |_| true,
    },
];

fn durations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Duration>, D::Error> {
    let durations = Vec::<humantime_serde::Serde<Duration>>::deserialize(deserializer)?;
    Ok(durations
        .into_iter()
        .map(humantime_serde::Serde::into_inner)
        .collect())
}
