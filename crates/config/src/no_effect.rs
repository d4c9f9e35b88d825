//! Settings that are accepted and change nothing. The server logs each one that is set, at the start.

use super::Config;

/// A setting whose value differs from the default and has no effect.
///
/// ```
/// # mod pointsman { pub use pointsman_config as config; }
/// use pointsman::config::Config;
///
/// let config = Config::from_sources(Some("[retention]\nevents = \"7d\""), [])?;
/// let idle = config.without_effect().next().expect("events are not removed yet");
/// assert_eq!(idle.key, "retention.events");
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
        "retention.events",
        "events are kept for ever, as nothing removes them yet",
        |config, default| config.retention.events != default.retention.events,
    ),
    (
        "retention.attempts",
        "the history of attempts is kept for ever, as nothing removes it yet",
        |config, default| config.retention.attempts != default.retention.attempts,
    ),
    (
        "retention.dead_letters",
        "dead letters are kept for ever, as nothing removes them yet",
        |config, default| config.retention.dead_letters != default.retention.dead_letters,
    ),
    (
        "database.min_free_bytes",
        "only the disk of an embedded database is watched; PostgreSQL minds its own",
        |config, default| {
            config.database.url.sqlite_path().is_none()
                && config.database.min_free_bytes != default.database.min_free_bytes
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
            idle("[retention]\nevents = \"7d\"\nmax_hold = \"7d\""),
            ["retention.events"],
            "the other one has an effect"
        );
        let all = "[publish]\nmax_batch_bytes = 1000000\n[retention]\nevents = \"1d\"\nattempts = \"1d\"\n\
                   dead_letters = \"1d\"\n[database]\nmin_free_bytes = 0";
        assert_eq!(idle(all).len(), 4, "the disk of an embedded database is watched");
        let postgres = format!("{all}\nurl = \"postgres://db/pointsman\"");
        assert_eq!(idle(&postgres).len(), 5);
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
