//! The first user and the first workspace of an empty database.

use std::io;

use sea_orm::DatabaseTransaction;

use super::{
    email::{self, Email},
    entropy,
    passwords::{PasswordError, Passwords},
};
use pointsman_clock::Clock;
use pointsman_domain::{
    id::{UserId, WorkspaceId},
    installation::NewInstallation,
    role::GlobalRole,
};
use pointsman_engine::EventRouter;
use pointsman_router::ChangeError;
use pointsman_store::{self as store, users::NewUser};

/// The name of the workspace that an empty database gets.
pub const DEMO_WORKSPACE: &str = "demo";
/// The key of the extension that is installed there.
const CHAT: &str = "chat";

/// What an empty database gets.
#[derive(Clone)]
pub struct Bootstrap {
    pub admin_email: String,
    /// If empty, one is generated.
    pub admin_password: String,
    /// Whether to make the workspace [`DEMO_WORKSPACE`].
    pub demo: bool,
}

impl std::fmt::Debug for Bootstrap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bootstrap")
            .field("admin_email", &self.admin_email)
            .field("demo", &self.demo)
            .finish_non_exhaustive()
    }
}

/// What was made. To be shown once.
#[derive(Clone)]
pub struct Bootstrapped {
    pub admin_email: String,
    /// The password, when it was made here; it is stored nowhere.
    pub generated_password: Option<String>,
    pub demo: Option<WorkspaceId>,
}

impl std::fmt::Debug for Bootstrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bootstrapped")
            .field("admin_email", &self.admin_email)
            .field("demo", &self.demo)
            .finish_non_exhaustive()
    }
}

/// Why nothing was made.
#[warn(missing_docs)]
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The setting `bootstrap.admin_email` is not acceptable.
    #[error("bootstrap.admin_email: {0}")]
    Email(#[from] email::EmailError),
    /// The setting `bootstrap.admin_password` is not acceptable, or was not hashed.
    #[error("bootstrap.admin_password: {0}")]
    Password(#[from] PasswordError),
    /// The generated password cannot be printed, so that nobody could ever sign in.
    #[error(
        "the password of the first admin cannot be printed, so that no admin was made: {0}; set \
         bootstrap.admin_password, or give the server a standard output"
    )]
    Announcement(io::Error),
    /// The database was not read or changed.
    #[error(transparent)]
    Storage(#[from] ChangeError),
}

/// On a database without any user, makes the admin and the demo workspace in one transaction. Otherwise
/// `None`, and nothing is written.
///
/// `announce` gets the email and a generated password before the admin is created. The password is stored nowhere: if
/// announcing it failed after the admin was created, nobody could ever sign in.
///
/// # Errors
/// When the email or the password is not acceptable, the password cannot be announced, or the database fails.
pub async fn ensure(
    router: &EventRouter,
    passwords: &Passwords,
    clock: Clock,
    wanted: Bootstrap,
    announce: impl FnOnce(&str, &str) -> io::Result<()>,
) -> Result<Option<Bootstrapped>, BootstrapError> {
    if store::users::any(router.access_reader())
        .await
        .map_err(ChangeError::from)?
    {
        return Ok(None);
    }
    let email = Email::parse(&wanted.admin_email)?;
    let generated = wanted.admin_password.is_empty().then(entropy::text::<24>);
    let password = generated.clone().unwrap_or(wanted.admin_password);
    let admin = NewUser {
        id: UserId::new(clock.new_uuid()),
        email: email.as_str().to_owned(),
        password_hash: passwords.hash(password).await?,
        role: GlobalRole::Admin,
        created_at: clock.wall(),
    };
    if let Some(password) = &generated {
        announce(email.as_str(), password).map_err(BootstrapError::Announcement)?;
    }
    let demo = wanted.demo.then(|| WorkspaceId::new(clock.new_uuid()));
    let chat = demo.and_then(|_| built_in(router, CHAT, clock));
    router
        .write(move |txn| Box::pin(make(txn, admin, demo, chat, clock)))
        .await?;
    Ok(Some(Bootstrapped {
        admin_email: email.into_string(),
        generated_password: generated,
        demo,
    }))
}

/// The extension of this process with that key.
fn built_in(router: &EventRouter, key: &str, clock: Clock) -> Option<NewInstallation> {
    let extension = router.extensions().get(key)?;
    let (name, patterns) = (&extension.name, extension.patterns());
    Some(NewInstallation::in_process(key, name, patterns, || {
        clock.new_uuid()
    }))
}

async fn make(
    txn: &DatabaseTransaction,
    admin: NewUser,
    demo: Option<WorkspaceId>,
    chat: Option<NewInstallation>,
    clock: Clock,
) -> Result<(), ChangeError> {
    let now = admin.created_at;
    store::users::insert(txn, admin).await?;
    if let Some(id) = demo {
        store::workspaces::insert(txn, id, DEMO_WORKSPACE, now).await?;
        if let Some(chat) = chat {
            EventRouter::install_within(txn, id, chat, clock).await?;
        }
    }
    Ok(())
}
