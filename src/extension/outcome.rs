//! What a handler returns.

use super::Effect;

/// The success of a handler: nothing more to do, or an [`Effect`].
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
