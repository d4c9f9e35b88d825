//! Why a server does not start.

use std::{io, path::PathBuf};

use pointsman_extension::RegistrationError;
use pointsman_http_delivery::TrustError;
use pointsman_journal_sql::OpenError;

use super::limits::LimitsError;
use pointsman_auth::{bootstrap::BootstrapError, key_file::KeyFileError};

/// Why the server does not start. Each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("database.url: {0}")]
    DatabaseUrl(String),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    #[error("{what} {}: {source}", path.display())]
    File {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: String, source: io::Error },
    #[error("delivery.extra_ca_file: {0}")]
    Trust(#[from] TrustError),
    #[error(transparent)]
    Limits(#[from] LimitsError),
    #[error(transparent)]
    Extension(#[from] RegistrationError),
    #[error("signals cannot be listened for: {0}")]
    Signals(io::Error),
}
