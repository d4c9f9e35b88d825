//! Who has been called, with what, and what came of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pointsman_extension::PlatformEvent;
use pointsman_router::{HandledCall, Watch};

/// A call of a handler that ended well, its effect included.
#[derive(Clone, Debug)]
pub struct Handled {
    /// The key of its extension.
    pub extension: String,
    pub handler: String,
    pub event: PlatformEvent,
    /// From 1.
    pub attempt: u32,
}

#[derive(Debug, Default)]
pub(super) struct Calls(Mutex<Vec<Handled>>);

impl Calls {
    pub(super) fn handled(&self) -> Vec<Handled> {
        self.list().clone()
    }

    /// Notes what is handled from now on.
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
