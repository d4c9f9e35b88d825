//! Changes of a database that no server uses: what the commands of `pointsman` do.
//!
//! ```
//! use pointsman::{
//!     config::Config,
//!     server::admin::{self, Clock, GlobalRole},
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = std::env::temp_dir().join(format!("pointsman-doc-admin-{}", std::process::id()));
//! # let file = format!("[server]\nport = 0\n[database]\nurl = \"sqlite://{}/test.db\"", folder.display());
//! let config = Config::from_sources(Some(&file), [])?;
//! # actix_web::rt::System::new().block_on(async {
//! admin::migrate(&config).await?;
//! let password = "correct horse battery staple".to_owned();
//! let ann = admin::add_user(&config, "ann@example.com", password, GlobalRole::User, Clock).await?;
//! let sales = admin::add_workspace(&config, "Sales".to_owned(), Clock).await?;
//! println!("user {ann}, workspace {sales}");
//! # std::fs::remove_dir_all(folder)?;
//! # Ok(())
//! # })
//! # }
//! ```

use std::{io, path::PathBuf};

use crate::{
    http,
    server::{
        StartError, journal_settings,
        settings::{ConfiguredKey, master_key},
    },
};
use pointsman_auth::{
    email::{Email, EmailError},
    passwords::{PasswordError, Passwords},
};
pub use pointsman_clock::Clock;
use pointsman_config::Config;
pub use pointsman_domain::{
    id::{UserId, WorkspaceId},
    role::GlobalRole,
};
use pointsman_journal::{ChangeError, Journal};
use pointsman_journal_sql::{CareError, DatabaseUrl, MasterKey as _, OpenError, Unreadable};
use pointsman_store::{self as store, users::NewUser};

/// Why the database was not changed.
///
/// ```
/// use pointsman::{config::Config, server::admin::{self, AdminError, Clock}};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("pointsman-doc-admin-error-{}", std::process::id()));
/// # let file = format!("[server]\nport = 0\n[database]\nurl = \"sqlite://{}/test.db\"", folder.display());
/// let config = Config::from_sources(Some(&file), [])?;
/// # actix_web::rt::System::new().block_on(async {
/// let refused = admin::add_workspace(&config, String::new(), Clock).await;
/// assert!(matches!(refused, Err(AdminError::Name(_))));
/// # std::fs::create_dir_all(&folder)?;
/// # std::fs::remove_dir_all(folder)?;
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The configuration or a file cannot be used.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The database cannot be opened, or a server uses it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The e-mail address is not acceptable.
    #[error("email: {0}")]
    Email(#[from] EmailError),
    /// The password is not acceptable.
    #[error("password: {0}")]
    Password(#[from] PasswordError),
    /// The name is not 1 to 120 characters without control characters. Holds the rule.
    #[error("name: {0}")]
    Name(&'static str),
    /// The database cannot be backed up, restored or checked.
    #[error(transparent)]
    Care(#[from] CareError),
    /// The database refuses the change, for example an e-mail address that is taken.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// Creates the database where it is missing, and brings it to the schema of this version.
///
/// # Errors
/// [`AdminError::Start`] and [`AdminError::Open`].
///
/// ```
/// use pointsman::{config::Config, server::admin};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("pointsman-doc-migrate-{}", std::process::id()));
/// # let file = format!("[server]\nport = 0\n[database]\nurl = \"sqlite://{}/test.db\"", folder.display());
/// let config = Config::from_sources(Some(&file), [])?;
/// # actix_web::rt::System::new().block_on(async {
/// admin::migrate(&config).await?;
/// assert!(folder.join("test.db").exists());
/// # std::fs::remove_dir_all(folder)?;
/// # Ok(())
/// # })
/// # }
/// ```
pub async fn migrate(config: &Config) -> Result<(), AdminError> {
    pointsman_journal_sql::migrate(&journal_settings(config)?.url).await?;
    Ok(())
}

/// Makes the configured master key the one of the database, where the former one is lost. Nothing is deleted: secrets
/// and headers that the key does not open are `unreadable` in the API until they are set anew.
///
/// # Errors
/// [`AdminError::Start`] and [`AdminError::Open`]. Where there is no database, none is created.
///
/// ```
/// use pointsman::{config::Config, server::admin};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("pointsman-doc-accept-key-{}", std::process::id()));
/// # let file = format!("[server]\nport = 0\n[database]\nurl = \"sqlite://{}/test.db\"", folder.display());
/// let config = Config::from_sources(Some(&file), [])?;
/// # actix_web::rt::System::new().block_on(async {
/// admin::migrate(&config).await?;
/// let accepted = admin::accept_key(&config).await?;
/// assert!(accepted.origin.ends_with("cookie.key"));
/// # std::fs::remove_dir_all(folder)?;
/// # Ok(())
/// # })
/// # }
/// ```
pub async fn accept_key(config: &Config) -> Result<AcceptedKey, AdminError> {
    let journal = journal_settings(config)?;
    if let Some(path) = missing_database(&journal.url) {
        return Err(StartError::File {
            what: "there is no database",
            path,
            source: io::Error::other("give the command the server's own --config and environment"),
        }
        .into());
    }
    let key = ConfiguredKey::new(config, &master_key(config)?);
    let unreadable = pointsman_journal_sql::accept_key(&journal.url, &key).await?;
    Ok(AcceptedKey {
        origin: key.origin().to_owned(),
        unreadable,
    })
}

/// The file of an embedded database, where it does not exist.
fn missing_database(url: &DatabaseUrl) -> Option<PathBuf> {
    url.file().filter(|path| !path.exists())
}

/// Shows a command that was given in the wrong folder.
fn warn_of_new_database(config: &Config) -> Result<(), AdminError> {
    if let Some(path) = missing_database(&journal_settings(config)?.url) {
        log::warn!(path:% = path.display(); "there was no database here: a new one is made");
    }
    Ok(())
}

/// The master key that the database is used with from now on.
///
/// ```
/// use pointsman::{config::Config, server::admin::{self, AcceptedKey}};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("pointsman-doc-accepted-key-{}", std::process::id()));
/// # let file = format!("[server]\nport = 0\n[database]\nurl = \"sqlite://{}/test.db\"", folder.display());
/// let config = Config::from_sources(Some(&file), [])?;
/// # actix_web::rt::System::new().block_on(async {
/// admin::migrate(&config).await?;
/// let AcceptedKey { origin, unreadable } = admin::accept_key(&config).await?;
/// println!("{origin} does not open the secrets of {} extensions", unreadable.extensions);
/// # std::fs::remove_dir_all(folder)?;
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AcceptedKey {
    /// The setting or the file that has the key.
    pub origin: String,
    /// How many extensions and workspaces have a secret or header that the key does not open.
    pub unreadable: Unreadable,
}

/// Adds a user who can sign in, and returns the id. `role` is what the user may do outside of workspaces.
///
/// # Errors
/// [`AdminError::Email`] and [`AdminError::Password`] where they are not acceptable, [`AdminError::Change`] where the
/// e-mail address is taken, [`AdminError::Start`] and [`AdminError::Open`].
///
/// ```
/// use pointsman::{
///     config::Config,
///     server::admin::{self, Clock, GlobalRole},
/// };
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("pointsman-doc-add-user-{}", std::process::id()));
/// # let file = format!("[server]\nport = 0\n[database]\nurl = \"sqlite://{}/test.db\"", folder.display());
/// let config = Config::from_sources(Some(&file), [])?;
/// # actix_web::rt::System::new().block_on(async {
/// let password = "correct horse battery staple".to_owned();
/// let id = admin::add_user(&config, "ann@example.com", password, GlobalRole::Admin, Clock).await?;
/// println!("user {id} added");
/// # std::fs::remove_dir_all(folder)?;
/// # Ok(())
/// # })
/// # }
/// ```
pub async fn add_user(
    config: &Config,
    email: &str,
    password: String,
    role: GlobalRole,
    clock: Clock,
) -> Result<UserId, AdminError> {
    let email = Email::parse(email)?;
    let id = UserId::new(clock.new_uuid());
    let password_hash = Passwords::new().hash(password).await?;
    let user = NewUser {
        id,
        email: email.into_string(),
        password_hash,
        role,
        created_at: clock.wall(),
    };
    let journal = open(config, clock).await?;
    let added = journal
        .write(move |transaction| {
            Box::pin(async move {
                if store::users::find_by_email(transaction, &user.email)
                    .await?
                    .is_some()
                {
                    return Err(ChangeError::Conflict(format!(
                        "a user with the email {} exists already",
                        user.email
                    )));
                }
                store::users::insert(transaction, user).await?;
                Ok(((), Vec::new()))
            })
        })
        .await;
    journal.stop().await;
    added?;
    Ok(id)
}

/// Adds a workspace with this name of 1 to 120 characters, and returns its id.
///
/// # Errors
/// [`AdminError::Name`] where the name is not acceptable, [`AdminError::Start`], [`AdminError::Open`] and
/// [`AdminError::Change`].
///
/// ```
/// use pointsman::{
///     config::Config,
///     server::admin::{self, Clock},
/// };
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("pointsman-doc-add-workspace-{}", std::process::id()));
/// # let file = format!("[server]\nport = 0\n[database]\nurl = \"sqlite://{}/test.db\"", folder.display());
/// let config = Config::from_sources(Some(&file), [])?;
/// # actix_web::rt::System::new().block_on(async {
/// let id = admin::add_workspace(&config, "Sales".to_owned(), Clock).await?;
/// println!("workspace {id} added");
/// # std::fs::remove_dir_all(folder)?;
/// # Ok(())
/// # })
/// # }
/// ```
pub async fn add_workspace(config: &Config, name: String, clock: Clock) -> Result<WorkspaceId, AdminError> {
    http::validate::name(&name).map_err(AdminError::Name)?;
    let id = WorkspaceId::new(clock.new_uuid());
    let now = clock.wall();
    let journal = open(config, clock).await?;
    let added = journal
        .write(move |transaction| {
            Box::pin(async move {
                store::workspaces::insert(transaction, id, &name, now).await?;
                Ok(((), Vec::new()))
            })
        })
        .await;
    journal.stop().await;
    added?;
    Ok(id)
}

/// Opens the journal without the actors, so that nothing is delivered.
async fn open(config: &Config, clock: Clock) -> Result<Journal, AdminError> {
    warn_of_new_database(config)?;
    let opened = pointsman_journal_sql::open(journal_settings(config)?, Box::new(|_| ()), clock).await?;
    Ok(opened.journal)
}
