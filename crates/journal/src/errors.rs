//! Why something was not written.

#![warn(missing_docs)]

use sea_orm::DbErr;

/// The database could not be reached, or its disk has too little room for events. Where it did not say whether it has
/// committed, the work may be durable all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the database cannot be reached, or its disk is nearly full")]
pub struct StorageUnavailable;

/// Why an append was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Nothing can be written at present.
    #[error(transparent)]
    Storage(#[from] StorageUnavailable),
    /// The database refused this event. The other events of its batch are not affected.
    #[error("the event cannot be stored")]
    Refused,
    /// The workspace was deleted.
    #[error("there is no such workspace")]
    NoWorkspace,
    /// A publish under the same idempotency key is in progress.
    #[error("a publish under this idempotency key is in progress")]
    KeyInUse,
    /// The idempotency key was used with another body within 24 h.
    #[error("this idempotency key was used with another body")]
    KeyReused,
}

/// Why a settlement was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    /// The installation has been attached again since, and the newer lane starts from what is durable; or its workspace
    /// was deleted.
    #[error("a newer generation of the lane has attached")]
    Fenced,
    /// The database refused these rows; a new lane starts from what is durable.
    #[error("the settlement cannot be stored")]
    Refused,
    /// The journal has ended. The lane of the next process starts from what is durable.
    #[error("the journal has stopped")]
    Stopped,
}

/// Why a change was not made. Nothing was written; after `StorageUnavailable` it may have been.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The workspace has no such thing. Holds what is missing: `extension`, `subscription`,
    /// `dead letter` or `workspace`.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// It contradicts the present state, as where the key is installed already. Holds the reason, for an admin.
    #[error("{0}")]
    Conflict(String),
    /// The database cannot be reached, its disk is nearly full, or it did not say whether it has committed.
    #[error("the database cannot be reached")]
    StorageUnavailable,
    /// The database refuses a statement. Holds its error.
    #[error("storage: {0}")]
    Database(#[from] DbErr),
}

impl From<StorageUnavailable> for ChangeError {
    fn from(_: StorageUnavailable) -> Self {
        Self::StorageUnavailable
    }
}
