//! Text that must not be shown.

use std::fmt;

use serde::Deserialize;

/// A password or key. Its `Debug` form does not show it.
///
/// ```
/// # mod pointsman { pub use pointsman_config as config; }
/// use pointsman::config::Config;
///
/// let file = "[bootstrap]\nadmin_password = \"correct horse\"";
/// let password = Config::from_sources(Some(file), [])?.bootstrap.admin_password;
/// assert_eq!(format!("{password:?}"), "Secret(…)");
/// assert_eq!(password.expose(), "correct horse");
/// # Ok::<(), pointsman::config::ConfigError>(())
/// ```
#[derive(Clone, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the code that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the text is empty, which means that none is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() {
            "Secret(empty)"
        } else {
            "Secret(…)"
        })
    }
}
