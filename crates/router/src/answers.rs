//! What the router answers to publishers and to questions about its health.

#![warn(missing_docs)]

use pointsman_domain::{
    lane::{BreakerCause, BreakerState},
    timestamp::Timestamp,
};
use pointsman_journal::AppendError;

/// Why an event of a host, or of a publisher over HTTP, was not accepted. Handlers get another type of the same name,
/// `pointsman::extension::PublishError`.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The event was not recorded.
    #[error("too many publishes are in flight")]
    Overloaded,
    /// The database cannot be reached, its disk is nearly full, it did not answer in time, or the journal has ended by
    /// a defect. The event may have been recorded all the same.
    #[error("the database cannot be reached, or its disk is nearly full")]
    StorageUnavailable,
    /// The router was told to stop, see [`EventRouter::stop_accepting`](crate::EventRouter::stop_accepting). An event
    /// that was on its way by then may have been recorded all the same.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The database refuses the event, or the work of its transaction has failed. Holds the reason. The event was not
    /// recorded.
    #[error("the event could not be stored: {0}")]
    Refused(String),
    /// The workspace was deleted. The event was not recorded.
    #[error("there is no such workspace")]
    NoWorkspace,
    /// Another publish under the same idempotency key has not ended yet. This one was not recorded.
    #[error("a publish under this idempotency key is in progress")]
    KeyInUse,
    /// Within 24 h, another body was published under the same idempotency key. This one was not recorded.
    #[error("this idempotency key was used with another body")]
    KeyReused,
}

impl From<AppendError> for PublishError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Storage(_) => Self::StorageUnavailable,
            AppendError::Refused => Self::Refused("the database refuses it".to_owned()),
            AppendError::NoWorkspace => Self::NoWorkspace,
            AppendError::KeyInUse => Self::KeyInUse,
            AppendError::KeyReused => Self::KeyReused,
        }
    }
}

/// Why the server can neither accept nor deliver now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// The router was told to stop, see [`EventRouter::stop_accepting`](crate::EventRouter::stop_accepting).
    #[error("the server is shutting down")]
    ShuttingDown,
    /// Why, for an operator.
    #[error("{0}")]
    Storage(String),
    /// The waker does not get to the end of what is due: deliveries of workspaces that are not active may wait. Says
    /// for how long, and why. Events are accepted.
    #[error("{0}")]
    Waker(String),
}

/// The state of an installation's lane.
#[derive(Clone, Debug, Default)]
pub struct LaneHealth {
    /// The attempts that run right now.
    pub in_flight: usize,
    /// When the last attempt that delivered began, by the wall clock, since the installation's actor was started;
    /// `None` without any.
    pub last_success_at: Option<Timestamp>,
    /// When the last attempt that failed began, by the wall clock, since the actor was started; `None` without any.
    pub last_failure_at: Option<Timestamp>,
    /// Whether attempts are held back because the service fails again and again.
    pub breaker: BreakerState,
    /// The failure that keeps the breaker open.
    pub breaker_cause: Option<BreakerCause>,
    /// Its actor died too often and is not started again until an admin resets the installation.
    pub failed: bool,
}
