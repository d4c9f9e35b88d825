//! The typed configuration: `config/default.toml` (compiled in), then a file, then the environment.
//!
//! Every key has a `Rule` that says what is allowed, in words and as a check. A `Config` that
//! exists has passed all of them, so nobody downstream checks again.

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
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    pub database: Database,
    pub bootstrap: Bootstrap,
    pub publish: Publish,
    pub router: Router,
    pub delivery: Delivery,
    pub in_process: InProcess,
    pub auth: Auth,
    pub retention: Retention,
    pub log: Log,
}

impl Config {
    /// Reads the defaults, `file` over them, and the environment of the process over both.
    ///
    /// # Errors
    /// When the file cannot be read, is not TOML, or when a key is unknown or its value not allowed. The
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

    /// As [`Config::load`], with the text of the file and the variables of the environment given. Variables
    /// that do not begin with `POINTSMAN__` are not looked at.
    ///
    /// # Errors
    /// As [`Config::load`].
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

    /// The file that keeps the cookie key while `auth.cookie_key` is empty: beside the embedded database, so
    /// that both are moved and backed up together; in `data/` with PostgreSQL.
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
