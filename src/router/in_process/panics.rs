//! A handler's panic: caught where it happens, with its message and its place.

use std::{
    cell::{Cell, RefCell},
    panic::{self, AssertUnwindSafe, PanicHookInfo},
    pin::Pin,
    sync::Once,
    task::{Context, Poll},
};

thread_local! {
    /// A handler is running on this thread right now.
    static HANDLING: Cell<bool> = const { Cell::new(false) };
    /// What the hook saw of the last panic of a handler.
    static SEEN: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Where a panic happened is told to the panic hook alone. Ours keeps it for panics of handlers, which are
/// recorded as failed attempts and not printed; every other panic goes on to the hook that was there before.
pub(super) fn listen() {
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if HANDLING.get() {
                SEEN.set(Some(describe(info)));
            } else {
                before(info);
            }
        }));
    });
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message = text.unwrap_or("no message");
    match info.location() {
        Some(place) => format!("{message} ({}:{}:{})", place.file(), place.line(), place.column()),
        None => message.to_owned(),
    }
}

/// Ends with the output of the future, or with what there is to say of its panic.
pub(super) struct Caught<F>(Pin<Box<F>>);

impl<F: Future> Caught<F> {
    pub(super) fn new(future: F) -> Self {
        Self(Box::pin(future))
    }
}

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, String>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match caught(|| self.0.as_mut().poll(context)) {
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

/// Runs code of an author. It is not run again after a panic, so that nobody sees what it left half done
/// but the extension itself.
pub(super) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    let outer = HANDLING.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(run));
    HANDLING.set(outer);
    result.map_err(|payload| {
        // Dropping what was thrown may panic as well.
        let _ = panic::catch_unwind(AssertUnwindSafe(|| drop(payload)));
        SEEN.take().unwrap_or_else(|| "no message".to_owned())
    })
}
