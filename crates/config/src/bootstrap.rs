//! The section `[bootstrap]`.

use serde::Deserialize;

use super::{Secret, rule::Rule};

/// What an empty database is given.
///
/// ```
/// # mod pointsman { pub use pointsman_config as config; }
/// use pointsman::config::Config;
///
/// let config = Config::from_sources(Some("[bootstrap]\ndemo = false"), [])?;
/// assert!(!config.bootstrap.demo);
/// assert!(config.bootstrap.admin_password.is_empty(), "one is generated");
/// # Ok::<(), pointsman::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// The e-mail address of the first administrator, at most 254 bytes.
    pub admin_email: String,
    /// The password of the first administrator, at most 1024 bytes. Empty: one is generated and printed once.
    pub admin_password: Secret,
    /// Whether the workspace `demo` is created.
    pub demo: bool,
}

pub(super) const RULES: &[Rule<Bootstrap>] = &[
    Rule {
        key: "bootstrap.admin_email",
        allowed: "an e-mail address of at most 254 bytes",
        holds: |bootstrap| is_email(&bootstrap.admin_email),
    },
    Rule {
        key: "bootstrap.admin_password",
        allowed: "empty (one is made), or a text of at most 1024 bytes",
        holds: |bootstrap| bootstrap.admin_password.expose().len() <= 1024,
    },
    Rule {
        key: "bootstrap.demo",
        allowed: "true or false",
        holds: |_| true,
    },
];

fn is_email(text: &str) -> bool {
    let has_two_sides = text
        .split_once('@')
        .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    has_two_sides && text.len() <= 254 && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}
