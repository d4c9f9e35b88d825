//! Why a server does not start.

use std::{io, path::PathBuf};

use pointsman_extension::RegistrationError;
use pointsman_http_delivery::TrustError;
use pointsman_journal_sql::OpenError;

use super::limits::LimitsError;
use pointsman_auth::{bootstrap::BootstrapError, key_file::KeyFileError};

/// Why a server or a router does not start. Each message is one line that says what to do.
///
/// ```
/// use pointsman::{
///     config::Config,
///     extension::{HandlerError, PlatformEvent, RegistrationError, event_handler, extension},
///     server::{RouterBuilder, StartError},
/// };
///
/// struct Audit;
///
/// #[extension(key = "audit")]
/// impl Audit {
///     #[event_handler(event_key = "**")]
///     fn seen(&self, _: PlatformEvent) -> Result<(), HandlerError> {
///         Ok(())
///     }
/// }
///
/// # actix_web::rt::System::new().block_on(async {
/// let twice = RouterBuilder::new(Config::default()).extension(Audit).extension(Audit);
/// let Err(refused) = twice.start().await else { panic!("the key is not unique") };
/// assert!(matches!(refused, StartError::Extension(RegistrationError::Duplicate(_))));
/// # });
/// ```
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// `database.url` has a form that the drivers do not take. Holds the reason.
    #[error("database.url: {0}")]
    DatabaseUrl(String),
    /// The database cannot be opened, or another process uses it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file of the master key cannot be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// A file or folder cannot be used.
    #[error("{what} {}: {source}", path.display())]
    File {
        /// What it is for, such as `the database`.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// Why it cannot be used.
        source: io::Error,
    },
    /// The first administrator or the workspace `demo` cannot be created.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The address of the section `server` cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// `host:port`.
        address: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The certificates of `delivery.extra_ca_file` cannot be used.
    #[error("delivery.extra_ca_file: {0}")]
    Trust(#[from] TrustError),
    /// The limit of open files is too low.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// An extension cannot be registered: the first that was refused.
    #[error(transparent)]
    Extension(#[from] RegistrationError),
    /// The operating system does not let the process listen for signals.
    #[error("signals cannot be listened for: {0}")]
    Signals(io::Error),
    /// A signal to stop came while the database was being opened. What was migrated by then is kept.
    #[error("told to stop while the database was being opened")]
    Stopped,
}
