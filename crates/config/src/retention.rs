//! The section `[retention]`.

use std::time::Duration;

use serde::Deserialize;

use super::rule::{Rule, days, is_some_time_up_to};

/// How long things are kept. Each time is a duration from 1 ms to 36500 d.
///
/// ```
/// # mod pointsman { pub use pointsman_config as config; }
/// use std::time::Duration;
///
/// use pointsman::config::Config;
///
/// let config = Config::from_sources(Some("[retention]\nmax_hold = \"7d\""), [])?;
/// assert_eq!(config.retention.max_hold, Duration::from_secs(7 * 24 * 60 * 60));
/// # Ok::<(), pointsman::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Events in the log, once they are dealt with.
    #[serde(with = "humantime_serde")]
    pub events: Duration,
    /// The history of attempts.
    #[serde(with = "humantime_serde")]
    pub attempts: Duration,
    /// Dead letters.
    #[serde(with = "humantime_serde")]
    pub dead_letters: Duration,
    /// Messages of the chat.
    #[serde(with = "humantime_serde")]
    pub chat_messages: Duration,
    /// Bytes of the embedded database above which the oldest events and attempts go before their time; 0 for no bound.
    pub max_bytes: u64,
    /// The longest time that a delivery waits for an installation that is held. Then it becomes a dead letter.
    #[serde(with = "humantime_serde")]
    pub max_hold: Duration,
}

/// A hundred years, so that no sum of times overflows.
const LONGEST: Duration = days(36_500);
const ALLOWED: &str = "a duration from 1ms to 36500d, such as 30d";

pub(super) const RULES: &[Rule<Retention>] = &[
    Rule {
        key: "retention.events",
        allowed: ALLOWED,
        holds: |retention| is_some_time_up_to(retention.events, LONGEST),
    },
    Rule {
        key: "retention.attempts",
        allowed: ALLOWED,
        holds: |retention| is_some_time_up_to(retention.attempts, LONGEST),
    },
    Rule {
        key: "retention.dead_letters",
        allowed: ALLOWED,
        holds: |retention| is_some_time_up_to(retention.dead_letters, LONGEST),
    },
    Rule {
        key: "retention.chat_messages",
        allowed: ALLOWED,
        holds: |retention| is_some_time_up_to(retention.chat_messages, LONGEST),
    },
    Rule {
        key: "retention.max_bytes",
        allowed: "0 for no bound, or at least 67108864",
        holds: |retention| retention.max_bytes == 0 || retention.max_bytes >= 64 * 1024 * 1024,
    },
    Rule {
        key: "retention.max_hold",
        allowed: ALLOWED,
        holds: |retention| is_some_time_up_to(retention.max_hold, LONGEST),
    },
];
