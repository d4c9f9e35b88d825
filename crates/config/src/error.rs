//! What can be wrong with a configuration.

use std::path::PathBuf;

/// Why there is no configuration. Each message is one line that says what to change.
///
/// ```
/// # mod pointsman { pub use pointsman_config as config; }
/// use pointsman::config::{Config, ConfigError};
///
/// let error = Config::from_sources(Some("[delivery]\nwindow = 0"), []).unwrap_err();
/// assert!(matches!(&error, ConfigError::BadValue { key, .. } if key == "delivery.window"));
///
/// let variable = ("POINTSMAN__DELIVERY__SPEED".to_owned(), "9".to_owned());
/// let error = Config::from_sources(None, [variable]).unwrap_err();
/// assert!(matches!(error, ConfigError::UnknownKey { .. }));
/// # Ok::<(), pointsman::config::ConfigError>(())
/// ```
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}", file.display())]
    Unreadable {
        /// Its path as it was given.
        file: PathBuf,
        /// Why it cannot be read.
        source: std::io::Error,
    },

    /// The file is not TOML.
    #[error("the configuration file is not valid TOML: line {line}: {problem}")]
    Malformed {
        /// From 1.
        line: usize,
        /// What is wrong there, on one line.
        problem: String,
    },

    /// The file or the environment sets a key that does not exist.
    #[error("{name}: there is no such setting; {hint}")]
    UnknownKey {
        /// The key as its author wrote it: `section.key`, or the name of the variable.
        name: String,
        /// The keys or sections that exist.
        hint: String,
    },

    /// A value is of the wrong type, or out of range.
    #[error("{key} = {value}: must be {allowed} ({origin})")]
    BadValue {
        /// `section.key`.
        key: String,
        /// The value in TOML, at most 80 characters of it. The value of a secret is not shown.
        value: String,
        /// What is allowed; completes the sentence "must be …".
        allowed: &'static str,
        /// Whether the file, a variable or the default has set it.
        origin: String,
    },

    /// An error that no key explains. It is not expected, because every key has a default and a rule; it exists so
    /// that a mistake there is a message and not a panic. Also a variable whose value is not UTF-8.
    #[error("the configuration cannot be used: {0}")]
    Unusable(String),
}
