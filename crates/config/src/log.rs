//! The section `[log]`.

use serde::Deserialize;

use super::rule::Rule;

/// What is written to standard error, and how.
///
/// ```
/// # mod pointsman { pub use pointsman_config as config; }
/// use pointsman::config::{Config, LogFormat, LogLevel};
///
/// let config = Config::from_sources(Some("[log]\nlevel = \"warn\"\nformat = \"json\""), [])?;
/// assert_eq!(config.log.level, LogLevel::Warn);
/// assert_eq!(config.log.format, LogFormat::Json);
/// # Ok::<(), pointsman::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The least important level that is written.
    pub level: LogLevel,
    /// The shape of a line.
    pub format: LogFormat,
}

/// The least important level that is written.
///
/// ```
/// # mod pointsman { pub use pointsman_config as config; }
/// use pointsman::config::LogLevel;
///
/// assert_eq!(log::LevelFilter::from(LogLevel::Info), log::LevelFilter::Info);
/// ```
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Errors only.
    Error,
    /// Warnings too.
    Warn,
    /// Informative messages too.
    Info,
    /// Messages for finding a fault too.
    Debug,
    /// All messages.
    Trace,
}

impl From<LogLevel> for ::log::LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::Error,
            LogLevel::Warn => Self::Warn,
            LogLevel::Info => Self::Info,
            LogLevel::Debug => Self::Debug,
            LogLevel::Trace => Self::Trace,
        }
    }
}

/// The shape of a line.
///
/// ```
/// # mod pointsman { pub use pointsman_config as config; }
/// use pointsman::config::{Config, LogFormat};
///
/// assert_eq!(Config::default().log.format, LogFormat::Text);
/// ```
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line of text, for people.
    Text,
    /// One JSON object per line, for machines.
    Json,
}

pub(super) const RULES: &[Rule<Log>] = &[
    Rule {
        key: "log.level",
        allowed: "error, warn, info, debug or trace",
        holds: |_| true,
    },
    Rule {
        key: "log.format",
        allowed: "text or json",
        holds: |_| true,
    },
];
