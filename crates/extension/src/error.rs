//! Why a handler has failed.

use std::{error::Error, fmt, time::Duration};

use pointsman_panics::Guarded;

/// Every [`Error`] converts into a `HandlerError` with `?`, and the delivery is then retried by the schedule. After the
/// last attempt it becomes a dead letter, which keeps the text of the error.
pub struct HandlerError {
    failure: Failure,
    source: Guarded<Box<dyn Error + Send + Sync>>,
}

/// What a failure means for the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It is retried by the schedule.
    Retry {
        /// The shortest pause before the next attempt.
        after: Option<Duration>,
    },
    /// It can never succeed: it becomes a dead letter.
    Permanent,
    /// The payload does not fit the handler's type: it becomes a dead letter.
    InvalidPayload,
}

impl HandlerError {
    /// A failure after which the delivery is retried by the schedule.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            failure: Failure::Retry { after: None },
            source: Guarded::new(error.into()),
        }
    }

    /// A failure after which the delivery is retried by the schedule, but not before `pause` is over. It adds no
    /// attempt: after the last one of the schedule the delivery becomes a dead letter.
    pub fn retry_after(pause: Duration, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            failure: Failure::Retry { after: Some(pause) },
            source: Guarded::new(error.into()),
        }
    }

    /// A failure after which the delivery is not retried: it becomes a dead letter at once.
    pub fn permanent(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            failure: Failure::Permanent,
            source: Guarded::new(error.into()),
        }
    }

    pub(super) fn invalid_payload(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            failure: Failure::InvalidPayload,
            source: Guarded::new(error.into()),
        }
    }

    pub(crate) const fn failure(&self) -> Failure {
        self.failure
    }
}

/// The error and its causes, joined by colons.
impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source.get())?;
        let mut cause = self.source.get().source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerError")
            .field("failure", &self.failure)
            .field("source", self.source.get())
            .finish()
    }
}

/// `HandlerError` does not implement [`Error`], so that `?` can convert every other error.
impl<E: Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}
