//! What the command line does to a database while no server uses it.

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
use pointsman_clock::Clock;
use pointsman_config::Config;
use pointsman_domain::{
    id::{UserId, WorkspaceId},
    role::GlobalRole,
};
use pointsman_journal::{ChangeError, Journal};
use pointsman_journal_sql::{DatabaseUrl, MasterKey as _, OpenError, Unreadable};
use pointsman_store::{self as store, users::NewUser};

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("email: {0}")]
    Email(#[from] EmailError),
    #[error("password: {0}")]
    Password(#[from] PasswordError),
    #[error("name: {0}")]
    Name(&'static str),
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// Brings the database to this version's schema.
///
/// # Errors
/// See [`OpenError`].
pub async fn migrate(config: &Config) -> Result<(), AdminError> {
    pointsman_journal_sql::migrate(&journal_settings(config)?.url).await?;
    Ok(())
}

/// Goes on with the configured master key where the one that the database was used with is lost. Nothing is thrown
/// away: what the key does not open is shown by the API until it is set anew.
///
/// # Errors
/// See [`OpenError`] and [`StartError`]; where there is no database nothing is made.
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

/// The file of an embedded database that is not there.
fn missing_database(url: &DatabaseUrl) -> Option<PathBuf> {
    url.file().filter(|path| !path.exists())
}

/// Whoever gives a command in the wrong folder would not know otherwise.
fn warn_of_new_database(config: &Config) -> Result<(), AdminError> {
    if let Some(path) = missing_database(&journal_settings(config)?.url) {
        log::warn!(path:% = path.display(); "there was no database here: a new one is made");
    }
    Ok(())
}

/// A master key that the database is used with from now on.
#[derive(Clone, Debug)]
pub struct AcceptedKey {
    /// The setting or the file that it comes from.
    pub origin: String,
    /// What it does not open.
    pub unreadable: Unreadable,
}

/// Adds a user who can sign in.
///
/// # Errors
/// When the email is taken or either is not acceptable.
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

/// Adds a workspace.
///
/// # Errors
/// When the name is not acceptable.
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

/// The journal alone, without actors: nothing is delivered meanwhile.
async fn open(config: &Config, clock: Clock) -> Result<Journal, AdminError> {
    warn_of_new_database(config)?;
    let opened = pointsman_journal_sql::open(journal_settings(config)?, Box::new(|_| ()), clock).await?;
    Ok(opened.journal)
}
