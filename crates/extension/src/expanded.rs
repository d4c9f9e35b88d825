//! What the code that [`macro@super::extension`] writes calls.

use std::sync::Arc;

use super::{EventContext, EventHandler, HandlerError, HandlerOutcome};
pub use super::{
    outcome::IntoOutcome,
    schema::{NoSchema, SchemaOf, WithSchema},
};

/// The handler that calls a method of `extension`. The macro has checked `event_key`.
pub fn handler<E, F, R>(extension: &Arc<E>, name: &str, event_key: &str, call: F) -> EventHandler
where
    E: Send + Sync + 'static,
    F: Fn(Arc<E>, EventContext) -> R + Send + Sync + 'static,
    R: Future<Output = Result<HandlerOutcome, HandlerError>> + 'static,
{
    let extension = Arc::clone(extension);
    let invoke = move |context| -> futures_util::future::LocalBoxFuture<'static, _> {
        Box::pin(call(Arc::clone(&extension), context))
    };
    EventHandler::new(name, event_key, invoke).expect("the macro checks event keys by the same rules")
}
