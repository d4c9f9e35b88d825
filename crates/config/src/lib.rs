//! The typed configuration of a server: `config/default.toml` (compiled in), then a file, then the environment.
//!
//! Every key has a rule, which says what is allowed in words and as a check. A [`Config`] that exists has passed all
//! rules, so that no other code checks a value again.
//!
//! ```
//! # mod pointsman { pub use pointsman_config as config; }
//! use std::time::Duration;
//!
//! use pointsman::config::Config;
//!
//! let file = "[delivery]\ntimeout = \"5s\"\nconcurrency = 8";
//! let variable = ("POINTSMAN__DELIVERY__TIMEOUT".to_owned(), "2s".to_owned());
//! let config = Config::from_sources(Some(file), [variable])?;
//! assert_eq!(config.delivery.concurrency, 8);
//! assert_eq!(config.delivery.timeout, Duration::from_secs(2), "the environment overrides the file");
//! # Ok::<(), pointsman::config::ConfigError>(())
//! ```

#![warn(missing_docs)]

mod auth;
mod bootstrap;
mod database;
mod delivery;
mod error;
mod in_process;
mod keys;
mod layers;
mod log;
mod no_effect;
mod publish;
mod retention;
mod router;
mod rule;
mod secret;
mod server;
#[cfg(test)]
mod tests;
mod threads;

use std::path::{Path, PathBuf};

use serde::Deserialize;

use self::layers::Layers;
pub use self::{
    auth::Auth,
    bootstrap::Bootstrap,
    database::{Database, DatabaseUrl},
    delivery::Delivery,
    error::ConfigError,
    in_process::InProcess,
    log::{Log, LogFormat, LogLevel},
    no_effect::NoEffect,
    publish::Publish,
    retention::Retention,
    router::Router,
    secret::Secret,
    server::Server,
};

/// The whole configuration, by section; the keys are explained in `config/default.toml`.
///
/// Its `Debug` form shows no password and no key.
///
/// ```
/// # mod pointsman { pub use pointsman_config as config; }
/// use pointsman::config::Config;
///
/// let config = Config::from_sources(Some("[server]\nport = 0"), [])?;
/// assert_eq!(config.server.port, 0);
/// assert_eq!(config.publish.max_in_flight, Config::default().publish.max_in_flight);
///
/// let refused = Config::from_sources(Some("[server]\nport = 70000"), []).unwrap_err();
/// assert!(refused.to_string().starts_with("server.port = 70000: must be"));
/// # Ok::<(), pointsman::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen, and how to stop.
    pub server: Server,
    /// Where everything durable is kept.
    pub database: Database,
    /// What an empty database is given.
    pub bootstrap: Bootstrap,
    /// Bounds on what publishers send.
    pub publish: Publish,
    /// The threads of workspaces and deliveries, and what stays in memory.
    pub router: Router,
    /// How events are delivered to external services.
    pub delivery: Delivery,
    /// Bounds on in-process handlers.
    pub in_process: InProcess,
    /// Logins and the master key.
    pub auth: Auth,
    /// How long things are kept.
    pub retention: Retention,
    /// What is written to standard error, and how.
    pub log: Log,
}

impl Config {
    /// Reads the defaults, `file` over them, and the environment of the process over both.
    ///
    /// # Errors
    /// [`ConfigError`]: the file cannot be read or is not TOML, or a key is unknown, or a value is not allowed. The
    /// message is one line.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let text = file
            .map(|path| {
                std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
                    file: path.to_owned(),
                    source,
                })
            })
            .transpose()?;
        Self::from_sources(text.as_deref(), layers::process_environment()?)
    }

    /// Does what [`Config::load`] does with the given text of a file (TOML) and the given variables (name and value).
    /// A variable whose name does not begin with `POINTSMAN__` is ignored.
    ///
    /// # Errors
    /// Those of [`Config::load`], except that no file is read.
    pub fn from_sources(
        file: Option<&str>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let layers = Layers::read(file, environment)?;
        let config: Self = layers.extract()?;
        match config.first_broken_rule() {
            Some((key, allowed)) => Err(layers.bad_value(key, allowed)),
            None => Ok(config),
        }
    }

    /// The file that keeps the cookie key while `auth.cookie_key` is empty. It is beside the embedded database, so
    /// that both are moved and backed up together; with PostgreSQL it is `data/cookie.key`.
    pub fn cookie_key_file(&self) -> PathBuf {
        let folder = match self.database.url.sqlite_path() {
            Some(database) => database.parent().unwrap_or(Path::new("")),
            None => Path::new("data"),
        };
        folder.join("cookie.key")
    }

    fn first_broken_rule(&self) -> Option<(&'static str, &'static str)> {
        rule::first_broken(server::RULES, &self.server)
            .or_else(|| rule::first_broken(database::RULES, &self.database))
            .or_else(|| rule::first_broken(bootstrap::RULES, &self.bootstrap))
            .or_else(|| rule::first_broken(publish::RULES, &self.publish))
            .or_else(|| rule::first_broken(router::RULES, &self.router))
            .or_else(|| rule::first_broken(delivery::RULES, &self.delivery))
            .or_else(|| rule::first_broken(in_process::RULES, &self.in_process))
            .or_else(|| rule::first_broken(auth::RULES, &self.auth))
            .or_else(|| rule::first_broken(retention::RULES, &self.retention))
            .or_else(|| rule::first_broken(log::RULES, &self.log))
    }
}

impl Default for Config {
    /// `config/default.toml` as compiled in.
    fn default() -> Self {
        Self::from_sources(None, []).expect("a test loads the compiled-in defaults")
    }
}
