//! What can be wrong with a configuration.

use std::path::PathBuf;

/// Why there is no configuration. Each message is one line that says what to change.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file {}: {source}", file.display())]
    Unreadable { file: PathBuf, source: std::io::Error },

    #[error("the configuration file is not valid TOML: line {line}: {problem}")]
    Malformed { line: usize, problem: String },

    #[error("{name}: there is no such setting; {hint}")]
    UnknownKey { name: String, hint: String },

    #[error("{key} = {value}: must be {allowed} ({origin})")]
    BadValue {
        key: String,
        value: String,
        allowed: &'static str,
        origin: String,
    },

    /// Not expected: every key has a default and a rule. Here so that a slip is a message, not a panic.
    #[error("the configuration cannot be used: {0}")]
    Unusable(String),
}
