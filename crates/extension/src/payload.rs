//! From an event to the parameter of a handler.

use serde::de::DeserializeOwned;

use super::{HandlerError, PlatformEvent};

/// A type that is read from an event. Every type that implements `serde::Deserialize` is one, and is read from the JSON
/// object of the payload. [`PlatformEvent`] is one, and is the whole event.
#[diagnostic::on_unimplemented(
    message = "a handler cannot take `{Self}`: it is not read from an event",
    label = "derive `serde::Deserialize` for `{Self}`, or take a `PlatformEvent`"
)]
pub trait FromEvent: Sized {
    /// Reads the value from the event.
    ///
    /// # Errors
    /// When the payload does not fit the type; the text names the field. The delivery is not retried then: it becomes a
    /// dead letter.
    fn from_event(event: &PlatformEvent) -> Result<Self, HandlerError>;
}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> FromEvent for T {
    fn from_event(event: &PlatformEvent) -> Result<Self, HandlerError> {
        let mut json = serde_json::Deserializer::from_str(&event.payload);
        serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            let field = if path == "." {
                String::new()
            } else {
                format!(".{path}")
            };
            HandlerError::invalid_payload(format!("payload{field}: {}", without_place(error.inner())))
        })
    }
}

impl FromEvent for PlatformEvent {
    fn from_event(event: &PlatformEvent) -> Result<Self, HandlerError> {
        Ok(event.clone())
    }
}

/// The error without line and column: the reader gets the name of the field instead.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
