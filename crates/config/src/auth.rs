//! The section `[auth]`.

use std::time::Duration;

use serde::Deserialize;

use super::{
    Secret,
    rule::{Rule, days},
};

/// Logins and the master key.
///
/// ```
/// # mod pointsman { pub use pointsman_config as config; }
/// use std::time::Duration;
///
/// use pointsman::config::Config;
///
/// let config = Config::from_sources(Some("[auth]\nsession_ttl = \"8h\""), [])?;
/// assert_eq!(config.auth.session_ttl, Duration::from_secs(8 * 60 * 60));
/// assert_eq!(config.auth.cookie_key_bytes(), None, "the key is kept in a file");
/// # Ok::<(), pointsman::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// How long a login lasts, from 1 s to 365 d.
    #[serde(with = "humantime_serde")]
    pub session_ttl: Duration,
    /// Whether session cookies are sent over HTTPS only.
    pub secure_cookies: bool,
    /// As configured; see [`Auth::cookie_key_bytes`].
    cookie_key: Secret,
}

impl Auth {
    /// The configured cookie key, at least 64 bytes. `None` while `auth.cookie_key` is empty: then the key is kept in
    /// [`Config::cookie_key_file`](super::Config::cookie_key_file).
    pub fn cookie_key_bytes(&self) -> Option<Vec<u8>> {
        let digits = self.cookie_key.expose();
        if digits.is_empty() { None } else { from_hex(digits) }
    }
}

pub(super) const RULES: &[Rule<Auth>] = &[
    Rule {
        key: "auth.session_ttl",
        allowed: "a duration from 1s to 365d, such as 12h",
        holds: |auth| (Duration::from_secs(1)..=days(365)).contains(&auth.session_ttl),
    },
    Rule {
        key: "auth.secure_cookies",
        allowed: "true or false",
        holds: |_| true,
    },
    Rule {
        key: "auth.cookie_key",
        allowed: "empty (one is made and kept), or at least 128 hexadecimal digits (openssl rand -hex 64)",
        holds: |auth| {
            let key = &auth.cookie_key;
            key.is_empty() || (key.expose().len() >= 128 && from_hex(key.expose()).is_some())
        },
    },
];

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let nibbles: Vec<u8> = digits
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|nibble| u8::try_from(nibble).ok()))
        .collect::<Option<_>>()?;
    let (pairs, rest) = nibbles.as_chunks::<2>();
    rest.is_empty()
        .then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}
