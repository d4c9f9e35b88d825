//! Backups of the embedded database, and what is wrong with a database: `pointsman backup`, `restore` and `check`.
//!
//! ```
//! use pointsman::{
//!     config::Config,
//!     server::{
//!         admin::{self, Clock},
//!         care,
//!     },
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = std::env::temp_dir().join(format!("pointsman-doc-care-{}", std::process::id()));
//! # let file = format!("[server]\nport = 0\n[database]\nurl = \"sqlite://{}/test.db\"", folder.display());
//! let config = Config::from_sources(Some(&file), [])?;
//! # actix_web::rt::System::new().block_on(async {
//! admin::migrate(&config).await?;
//! let file = folder.join("backup.db");
//! let backup = care::backup(&config, &file, Clock).await?;
//! println!("{} bytes in {:?}", backup.bytes, backup.took);
//!
//! let replace = true;
//! let restored = care::restore(&config, &file, replace, Clock).await?;
//! assert!(restored.former.is_some_and(|former| former.exists()));
//! assert_eq!(care::check(&config, None).await?.wrong(), 0);
//! # std::fs::remove_dir_all(folder)?;
//! # Ok(())
//! # })
//! # }
//! ```

use std::path::Path;

use super::{
    StartError,
    admin::AdminError,
    settings::{existing_key, key_origin},
};
use pointsman_clock::Clock;
use pointsman_config::Config;
pub use pointsman_journal_sql::{BackedUp, CareError, Checked, Finding, Restored};
use pointsman_journal_sql::{DatabaseUrl, MasterKey};

/// Copies the embedded database into `file`, which must not exist. A server may be using the database, and its writer
/// waits for nothing. Every event that was acknowledged before is in the copy. The master key is not.
///
/// # Errors
/// [`AdminError::Care`], also where the database is on PostgreSQL.
///
/// ```
/// use pointsman::{config::Config, server::{admin::{self, Clock}, care}};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("pointsman-doc-backup-{}", std::process::id()));
/// # let file = format!("[server]\nport = 0\n[database]\nurl = \"sqlite://{}/test.db\"", folder.display());
/// let config = Config::from_sources(Some(&file), [])?;
/// # actix_web::rt::System::new().block_on(async {
/// admin::migrate(&config).await?;
/// let file = folder.join("backup.db");
/// care::backup(&config, &file, Clock).await?;
/// assert!(care::backup(&config, &file, Clock).await.is_err(), "a backup replaces no file");
/// # std::fs::remove_dir_all(folder)?;
/// # Ok(())
/// # })
/// # }
/// ```
pub async fn backup(config: &Config, file: &Path, clock: Clock) -> Result<BackedUp, AdminError> {
    let least = config.database.min_free_bytes;
    Ok(pointsman_journal_sql::backup(&url(config)?, file, least, clock).await?)
}

/// Puts a copy of the backup in `file` in the place of the embedded database. Where there is a database, `replace` says
/// that it is moved aside; it is never deleted.
///
/// # Errors
/// [`AdminError::Care`], also where a server uses the database. Then the database is as it was.
///
/// ```
/// use pointsman::{config::Config, server::{admin::{self, Clock}, care}};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("pointsman-doc-restore-{}", std::process::id()));
/// # let file = format!("[server]\nport = 0\n[database]\nurl = \"sqlite://{}/test.db\"", folder.display());
/// let config = Config::from_sources(Some(&file), [])?;
/// # actix_web::rt::System::new().block_on(async {
/// admin::migrate(&config).await?;
/// let file = folder.join("backup.db");
/// care::backup(&config, &file, Clock).await?;
/// let replace = false;
/// assert!(care::restore(&config, &file, replace, Clock).await.is_err(), "there is a database");
/// # std::fs::remove_dir_all(folder)?;
/// # Ok(())
/// # })
/// # }
/// ```
pub async fn restore(
    config: &Config,
    file: &Path,
    replace: bool,
    clock: Clock,
) -> Result<Restored, AdminError> {
    Ok(pointsman_journal_sql::restore(&url(config)?, file, replace, clock).await?)
}

/// Says what is wrong with the database, or with the backup in `file` where that is given. A server may be using it.
/// Nothing is written. Where there is a master key, it is tried on every secret; none is made.
///
/// # Errors
/// [`AdminError::Care`] and [`AdminError::Start`] where the database or the key cannot be read. That something is wrong
/// is no error.
///
/// ```
/// use pointsman::{config::Config, server::{admin, care::{self, Checked, Finding}}};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("pointsman-doc-check-{}", std::process::id()));
/// # let file = format!("[server]\nport = 0\n[database]\nurl = \"sqlite://{}/test.db\"", folder.display());
/// let config = Config::from_sources(Some(&file), [])?;
/// # actix_web::rt::System::new().block_on(async {
/// admin::migrate(&config).await?;
/// let Checked { findings, .. } = care::check(&config, None).await?;
/// for Finding { kind, text } in &findings {
///     println!("{kind}: {text}");
/// }
/// assert!(findings.is_empty());
/// # std::fs::remove_dir_all(folder)?;
/// # Ok(())
/// # })
/// # }
/// ```
pub async fn check(config: &Config, file: Option<&Path>) -> Result<Checked, AdminError> {
    let (url, least) = match file {
        // Nobody writes to it: its disk does not fill up meanwhile.
        Some(file) => (DatabaseUrl::existing_file(file), 0),
        None => (url(config)?, config.database.min_free_bytes),
    };
    let key = existing_key(config)?;
    let key = key.as_ref().map(|key| key as &dyn MasterKey);
    Ok(pointsman_journal_sql::check(&url, key, least).await?)
}

/// The setting or the file that has the master key, which is in no backup.
///
/// ```
/// use pointsman::{config::Config, server::care};
///
/// assert_eq!(care::master_key_of(&Config::default()), "data/cookie.key");
/// ```
pub fn master_key_of(config: &Config) -> String {
    key_origin(config)
}

fn url(config: &Config) -> Result<DatabaseUrl, StartError> {
    DatabaseUrl::parse(config.database.url.expose()).map_err(StartError::DatabaseUrl)
}
