//! Settings that are accepted and change nothing. The server logs each one that is set, at the start.

use super::Config;

/// A setting whose value differs from the default and has no effect.
///
/// ```
/// # mod pointsman { pub use pointsman_config as config; }
/// use pointsman::config::Config;
///
/// let config = Config::from_sources(Some("[publish]\nmax_batch_bytes = 1000000"), [])?;
/// let idle = config.without_effect().next().expect("there are no batches yet");
/// assert_eq!(idle.key, "publish.max_batch_bytes");
/// # Ok::<(), pointsman::config::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEffect {
    /// `section.key`.
    pub key: &'static str,
    /// What the server does in its place.
    pub why: &'static str,
}

/// Whether the setting of the first configuration has no effect and differs from that of the second, which is
/// `config/default.toml`.
type IsIdle = fn(&Config, &Config) -> bool;

const IDLE: &[(&str, &str, IsIdle)] = &[
    (
        "publish.max_batch_bytes",
        "there are no batches yet",
        |config, default| config.publish.max_batch_bytes != default.publish.max_batch_bytes,
    ),
    (
        "database.min_free_bytes",
        "only the disk of an embedded database is watched; PostgreSQL minds its own",
        |config, default| {
            config.database.url.sqlite_path().is_none()
                && config.database.min_free_bytes != default.database.min_free_bytes
        },
    ),
    (
        "retention.max_bytes",
        "only the size of an embedded database is bounded; PostgreSQL does not say how much of its files is free again",
        |config, default| {
            config.database.url.sqlite_path().is_none()
                && config.retention.max_bytes != default.retention.max_bytes
        },
    ),
];

impl Config {
    /// The settings whose value differs from the default and has no effect.
    pub fn without_effect(&self) -> impl Iterator<Item = NoEffect> {
        let default = Self::default();
        IDLE.iter()
            .filter(move |(_, _, is_idle)| is_idle(self, &default))
            .map(|(key, why, _)| NoEffect { key, why })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(file: &str) -> Vec<&'static str> {
        let config = Config::from_sources(Some(file), []).unwrap();
        config.without_effect().map(|idle| idle.key).collect()
    }

    #[test]
    fn what_is_set_and_does_nothing_is_told_and_a_default_is_not() {
        assert_eq!(idle(""), [""; 0]);
        let defaults = include_str!("../../../config/default.toml");
        assert_eq!(idle(defaults), [""; 0], "set to what it is anyway");
        assert_eq!(
            idle("[publish]\nmax_batch_bytes = 1000000\n[retention]\nmax_hold = \"7d\""),
            ["publish.max_batch_bytes"],
            "the other one has an effect"
        );
        let all = "[publish]\nmax_batch_bytes = 1000000\n[retention]\nmax_bytes = 100000000\n\
                   [database]\nmin_free_bytes = 0";
        assert_eq!(
            idle(all).len(),
            1,
            "an embedded database is watched, and its size bounded"
        );
        let postgres = format!("{all}\nurl = \"postgres://db/pointsman\"");
        assert_eq!(idle(&postgres).len(), 3);
    }

    #[test]
    fn every_idle_setting_is_a_known_key() {
        for (key, _, _) in IDLE {
            assert!(
                super::super::keys::known_keys().any(|(known, _)| known == *key),
                "{key}"
            );
        }
    }
}
