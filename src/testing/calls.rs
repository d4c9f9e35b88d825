//! The calls of handlers that have succeeded.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pointsman_extension::PlatformEvent;
use pointsman_router::{HandledCall, Watch};

/// A call of a handler that has succeeded, its effect included.
///
/// ```
/// use pointsman::{
///     extension::{HandlerError, PlatformEvent, event_handler, extension},
///     testing::{Handled, TestRouter},
/// };
/// use serde_json::json;
///
/// struct Audit;
///
/// #[extension(key = "audit")]
/// impl Audit {
///     #[event_handler(event_key = "order.*")]
///     fn order(&self, _: PlatformEvent) -> Result<(), HandlerError> {
///         Ok(())
///     }
/// }
///
/// # actix_web::rt::System::new().block_on(async {
/// let test = TestRouter::with(Audit).await;
/// let id = test.publish("order.placed", json!({})).await;
/// test.settled().await;
/// let Handled { extension, handler, event, attempt } = &test.handled()[0];
/// assert_eq!((extension.as_str(), handler.as_str(), event.id, *attempt), ("audit", "order", id, 1));
/// test.stop().await;
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Handled {
    /// The key of its extension.
    pub extension: String,
    /// The name of the handler.
    pub handler: String,
    /// The event that it has handled.
    pub event: PlatformEvent,
    /// The number of the attempt, from 1.
    pub attempt: u32,
}

#[derive(Debug, Default)]
pub(super) struct Calls(Mutex<Vec<Handled>>);

impl Calls {
    pub(super) fn handled(&self) -> Vec<Handled> {
        self.list().clone()
    }

    /// Adds the calls that succeed from now on.
    pub(super) fn watch(self: &Arc<Self>) -> Watch {
        let calls = Arc::clone(self);
        Watch(Arc::new(move |call: HandledCall<'_>| {
            calls.list().push(Handled {
                extension: call.extension.to_owned(),
                handler: call.handler.to_owned(),
                event: call.event.clone(),
                attempt: call.attempt,
            });
        }))
    }

    fn list(&self) -> MutexGuard<'_, Vec<Handled>> {
        // Nothing panics while it is locked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
