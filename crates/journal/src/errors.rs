//! Why something is not written.

use sea_orm::DbErr;

/// The database did not take it, or did not say whether it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the database cannot be reached")]
pub struct StorageUnavailable;

/// Why an event was not recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    #[error(transparent)]
    Storage(#[from] StorageUnavailable),
    /// This event, and no other of its batch, was refused by the database.
    #[error("the event cannot be stored")]
    Refused,
    /// A publish under the same idempotency key is on its way.
    #[error("a publish under this idempotency key is in progress")]
    KeyInUse,
    /// The idempotency key was used with another body within 24 h.
    #[error("this idempotency key was used with another body")]
    KeyReused,
}

/// Why a settlement was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    /// The installation has been attached again since; the successor decides.
    #[error("a newer generation of the lane has attached")]
    Fenced,
    /// The database refused these rows; a new lane starts from what is durable.
    #[error("the settlement cannot be stored")]
    Refused,
    #[error("the journal has stopped")]
    Stopped,
}

/// Why a change by an admin was not made. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("{0} not found")]
    NotFound(&'static str),
    #[error("{0}")]
    Conflict(String),
    #[error("the database cannot be reached")]
    StorageUnavailable,
    #[error("storage: {0}")]
    Database(#[from] DbErr),
}

impl From<StorageUnavailable> for ChangeError {
    fn from(_: StorageUnavailable) -> Self {
        Self::StorageUnavailable
    }
}
