//! Who has been called, with what, and what came of it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::FutureExt;

use crate::extension::{EventHandler, Extension, PlatformEvent};

/// A call of a handler that ended well.
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

    fn list(&self) -> MutexGuard<'_, Vec<Handled>> {
        // A handler that panics does so outside of this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An extension whose calls are noted.
pub(super) struct Watched {
    extension: Arc<dyn Extension>,
    calls: Arc<Calls>,
}

impl Watched {
    pub(super) fn new(extension: impl Extension, calls: Arc<Calls>) -> Self {
        Self {
            extension: Arc::new(extension),
            calls,
        }
    }
}

impl Extension for Watched {
    fn key(&self) -> &str {
        self.extension.key()
    }

    fn name(&self) -> &str {
        self.extension.name()
    }

    fn handlers(self: Arc<Self>) -> Vec<EventHandler> {
        let handlers = Arc::clone(&self.extension).handlers();
        handlers.into_iter().map(|handler| self.watch(handler)).collect()
    }
}

impl Watched {
    fn watch(&self, handler: EventHandler) -> EventHandler {
        let (extension, name) = (self.key().to_owned(), handler.name().to_owned());
        let calls = Arc::clone(&self.calls);
        handler.with_calls(move |context, call| {
            let handled = Handled {
                extension: extension.clone(),
                handler: name.clone(),
                event: context.event().clone(),
                attempt: context.attempt(),
            };
            let calls = Arc::clone(&calls);
            call.inspect(move |ended| {
                if ended.is_ok() {
                    calls.list().push(handled);
                }
            })
            .boxed_local()
        })
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("key", &self.key())
            .finish_non_exhaustive()
    }
}
