//! From an event to what a handler takes.

use serde::de::DeserializeOwned;

use super::{HandlerError, PlatformEvent};

/// What the first parameter of a handler may be: a type that `serde` can read from the payload, or
/// [`PlatformEvent`] for the whole event.
#[diagnostic::on_unimplemented(
    message = "a handler cannot take `{Self}`: it is not read from an event",
    label = "derive `serde::Deserialize` for `{Self}`, or take a `PlatformEvent`"
)]
pub trait FromEvent: Sized {
    /// # Errors
    /// When the payload does not fit; names the field. Such a delivery is not tried again.
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

/// The error without line and column, which mean nothing to those who read it: the field is named.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
