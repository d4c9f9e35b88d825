//! Why a handler did not handle an event.

use std::{error::Error, fmt, time::Duration};

use pointsman_panics::Guarded;

/// A handler's failure. Every error converts into one with `?`, and is then tried again by the schedule.
pub struct HandlerError {
    failure: Failure,
    source: Guarded<Box<dyn Error + Send + Sync>>,
}

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Try again by the schedule, and not before this time has passed.
    Retry { after: Option<Duration> },
    /// It can never succeed.
    Permanent,
    /// The payload does not fit the handler's type.
    InvalidPayload,
}

impl HandlerError {
    /// Tried again by the schedule.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            failure: Failure::Retry { after: None },
            source: Guarded::new(error.into()),
        }
    }

    /// Tried again by the schedule, but not before this pause is over. It never adds an attempt.
    pub fn retry_after(pause: Duration, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            failure: Failure::Retry { after: Some(pause) },
            source: Guarded::new(error.into()),
        }
    }

    /// Not tried again: the delivery becomes a dead letter at once.
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

/// `HandlerError` is no [`Error`] itself, so that `?` can take every other.
impl<E: Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}
