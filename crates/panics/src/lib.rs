//! Runs code of extensions: handlers, effects, and the values that they leave behind. Any of it may panic, also when a
//! value is only displayed or dropped. No panic may end a part of the server.
//!
//! One kind of panic cannot be caught: one that leaves a `Drop` while another panic unwinds through the author's own
//! frames, or one that is thrown while the message of another is formatted. Rust then aborts the process.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    fmt::{self, Write as _},
    panic::{self, AssertUnwindSafe, PanicHookInfo},
    pin::Pin,
    sync::Once,
    task::{Context, Poll},
};

/// What is kept of a text, in bytes.
const MAX_TEXT_BYTES: usize = 2048;

const NO_MESSAGE: &str = "no message";

thread_local! {
    /// Code of an extension is running on this thread right now.
    static HANDLING: Cell<bool> = const { Cell::new(false) };
    /// What the hook saw of the last panic of such code.
    static SEEN: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Installs a panic hook, since only the hook learns where a panic happened. For code of extensions the hook keeps the
/// place: their panics are recorded where they are caught and are not printed. Every other panic goes on to the hook
/// that was there before. Call it before the first handler runs.
pub fn listen() {
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if HANDLING.get() {
                see(Some(describe(info)));
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
    let mut short = Short::default();
    // An error means that the text is longer than what is kept.
    let _ = short.write_str(text.unwrap_or(NO_MESSAGE));
    match info.location() {
        Some(place) => format!(
            "{} ({}:{}:{})",
            short.text,
            place.file(),
            place.line(),
            place.column()
        ),
        None => short.text,
    }
}

/// Stores the message for this thread, and returns the one before. Does nothing on a thread that is ending.
fn see(message: Option<String>) -> Option<String> {
    SEEN.try_with(|seen| seen.replace(message)).unwrap_or_default()
}

/// Runs code of an extension and catches its panic; the error describes the panic. The code is not run again after a
/// panic, so that no other code sees the state that it left half done.
pub fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    let (outer, outer_message) = (HANDLING.replace(true), see(None));
    let result = panic::catch_unwind(AssertUnwindSafe(run)).map_err(|thrown| {
        let message = see(None);
        discard(thrown);
        message.unwrap_or_else(|| NO_MESSAGE.to_owned())
    });
    see(outer_message);
    HANDLING.set(outer);
    result
}

/// Drops the payload of a panic. That may panic as well, and so may dropping that second payload: it is leaked.
pub fn discard(thrown: Box<dyn Any + Send>) {
    if let Err(again) = panic::catch_unwind(AssertUnwindSafe(|| drop(thrown))) {
        std::mem::forget(again);
    }
}

/// The text of a value of an extension, at most 2,048 bytes of it.
pub fn text_of(value: &dyn fmt::Display) -> String {
    let mut short = Short::default();
    // An error means that the text is longer than what is kept.
    match caught(|| write!(short, "{value}")) {
        Ok(Ok(()) | Err(fmt::Error)) => short.text,
        Err(panic) => shortened(&format!(
            "its text cannot be told, as making it panicked: {panic}"
        )),
    }
}

/// Cut at a character's border.
pub fn shortened(text: &str) -> String {
    let mut short = Short::default();
    // As above.
    let _ = short.write_str(text);
    short.text
}

/// Takes the beginning of a text, and refuses the rest.
#[derive(Default)]
struct Short {
    text: String,
    is_cut: bool,
}

impl fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.is_cut {
            return Err(fmt::Error);
        }
        let room = MAX_TEXT_BYTES.saturating_sub(self.text.len());
        if text.len() <= room {
            self.text.push_str(text);
            return Ok(());
        }
        let end = (0..=room).rfind(|end| text.is_char_boundary(*end)).unwrap_or(0);
        self.text.push_str(&text[..end]);
        self.text.push('…');
        self.is_cut = true;
        Err(fmt::Error)
    }
}

/// A value of an extension. A panic while it is dropped is caught and logged.
pub struct Guarded<T>(Option<T>);

impl<T> Guarded<T> {
    pub fn new(value: T) -> Self {
        Self(Some(value))
    }

    pub fn get(&self) -> &T {
        self.0.as_ref().expect("it is taken only with the guard")
    }

    fn get_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("it is taken only with the guard")
    }

    /// The value; its panics are no longer caught.
    pub fn into_inner(mut self) -> T {
        self.0.take().expect("it is taken only with the guard")
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        if let Some(value) = self.0.take()
            && let Err(panic) = caught(|| drop(value))
        {
            log::warn!(panic:%; "a value of an extension panicked when it was dropped");
        }
    }
}

impl<T> fmt::Debug for Guarded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").finish_non_exhaustive()
    }
}

/// Resolves to the output of the future, or to a description of its panic. A panic while the future is dropped is
/// caught, too.
#[derive(Debug)]
pub struct Caught<F>(Guarded<Pin<Box<F>>>);

impl<F: Future> Caught<F> {
    pub fn new(future: F) -> Self {
        Self(Guarded::new(Box::pin(future)))
    }
}

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, String>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match caught(|| self.0.get_mut().as_mut().poll(context)) {
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

#[cfg(test)]
mod tests;
