//! The section `[retention]`.

use std::time::Duration;

use serde::Deserialize;

use super::rule::{Rule, days, is_some_time_up_to};

/// How long things are kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    #[serde(with = "humantime_serde")]
    pub events: Duration,
    #[serde(with = "humantime_serde")]
    pub attempts: Duration,
    #[serde(with = "humantime_serde")]
    pub dead_letters: Duration,
    /// How long a delivery waits for an installation that is held.
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
        key: "retention.max_hold",
        allowed: ALLOWED,
        holds: |retention| is_some_time_up_to(retention.max_hold, LONGEST),
    },
];
