//! The section `[database]`.

use std::{fmt, path::Path};

use serde::{Deserialize, Deserializer, de};

use super::rule::Rule;

/// Where everything durable is kept.
///
/// ```
/// # mod pointsman { pub use pointsman_config as config; }
/// use pointsman::config::Config;
///
/// let config = Config::from_sources(Some("[database]\nmax_connections = 4"), [])?;
/// assert_eq!(config.database.max_connections, 4);
/// assert!(config.database.url.sqlite_path().is_some(), "the default is an embedded database");
/// # Ok::<(), pointsman::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// The address of the database.
    pub url: DatabaseUrl,
    /// Connections besides the one that writes the log, from 1 to 1000.
    pub max_connections: u32,
    /// Bytes. Events are refused while the disk of an embedded database has less free space than this; 0 means that
    /// the disk is not watched.
    pub min_free_bytes: u64,
}

pub(super) const RULES: &[Rule<Database>] = &[
    Rule {
        key: "database.url",
        allowed: "sqlite://PATH (a file; no %, ? or # in its name) or postgres://USER:PASSWORD@HOST:PORT/DATABASE",
        // Checked while it is parsed.
        holds: |_| true,
    },
    Rule {
        key: "database.max_connections",
        allowed: "a whole number from 1 to 1000",
        holds: |database| (1..=1000).contains(&database.max_connections),
    },
    Rule {
        key: "database.min_free_bytes",
        allowed: "a whole number of bytes from 0 (the disk is not watched) to 1099511627776 (1 TiB)",
        holds: |database| database.min_free_bytes <= 1 << 40,
    },
];

/// The address of an embedded (SQLite) or a PostgreSQL database.
///
/// Its `Debug` form shows only which of the two it is, because the address may hold a password.
///
/// ```
/// # mod pointsman { pub use pointsman_config as config; }
/// use pointsman::config::Config;
///
/// let file = "[database]\nurl = \"postgres://router:secret@db/pointsman\"";
/// let url = Config::from_sources(Some(file), [])?.database.url;
/// assert_eq!(format!("{url:?}"), "postgres://…");
/// assert_eq!(url.sqlite_path(), None);
/// # Ok::<(), pointsman::config::ConfigError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The address with its password, for the code that connects.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The file of an embedded database as it is configured: it may be relative to the working directory. `None` for
    /// PostgreSQL.
    pub fn sqlite_path(&self) -> Option<&Path> {
        self.0.strip_prefix("sqlite://").map(Path::new)
    }

    fn parse(text: String) -> Option<Self> {
        let allowed = match text.strip_prefix("sqlite://") {
            Some(path) => is_sqlite_file(path),
            None => is_postgres(&text),
        };
        allowed.then_some(Self(text))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.sqlite_path().is_some() {
            "sqlite://…"
        } else {
            "postgres://…"
        })
    }
}

impl<'de> Deserialize<'de> for DatabaseUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(String::deserialize(deserializer)?).ok_or_else(|| de::Error::custom("not a database URL"))
    }
}

/// A database in memory is refused, because an acknowledged event would not survive the process. A query and SQLite's
/// `file:` are refused, because the journal sets the connection options. `%` is refused, because the path is never
/// decoded.
fn is_sqlite_file(path: &str) -> bool {
    let names_a_file = Path::new(path).file_name().is_some() && !path.ends_with('/');
    let is_uri = path.to_ascii_lowercase().starts_with("file:");
    names_a_file && !is_uri && !path.starts_with(':') && !path.contains(['%', '?', '#', '\0'])
}

fn is_postgres(text: &str) -> bool {
    let url = url::Url::parse(text);
    url.is_ok_and(|url| {
        matches!(url.scheme(), "postgres" | "postgresql") && url.has_host() && url.path().len() > 1
    })
}
