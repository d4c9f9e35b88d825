//! What a handler returns.

use super::{Effect, HandlerError};

/// The value that a successful handler returns: `()`, an [`Effect`] and `Option<Effect>` convert into it. The delivery
/// has succeeded when the effect, if there is one, is committed.
#[derive(Debug)]
pub struct HandlerOutcome(pub(crate) Option<Effect>);

impl From<()> for HandlerOutcome {
    fn from((): ()) -> Self {
        Self(None)
    }
}

impl From<Effect> for HandlerOutcome {
    fn from(effect: Effect) -> Self {
        Self(Some(effect))
    }
}

impl From<Option<Effect>> for HandlerOutcome {
    fn from(effect: Option<Effect>) -> Self {
        Self(effect)
    }
}

/// What a method with [`macro@super::event_handler`] may return: a `Result` whose value converts into a
/// [`HandlerOutcome`], and whose error into a [`HandlerError`].
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "write `Result<(), HandlerError>`, or `Result<Effect, HandlerError>`"
)]
pub trait IntoOutcome {
    /// Converts the result.
    ///
    /// # Errors
    /// The error of the handler.
    fn into_outcome(self) -> Result<HandlerOutcome, HandlerError>;
}

#[diagnostic::do_not_recommend]
impl<T, E> IntoOutcome for Result<T, E>
where
    T: Into<HandlerOutcome>,
    E: Into<HandlerError>,
{
    fn into_outcome(self) -> Result<HandlerOutcome, HandlerError> {
        self.map(Into::into).map_err(Into::into)
    }
}
