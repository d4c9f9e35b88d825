//! The trait of extensions.

use std::sync::Arc;

use crate::handler::EventHandler;

/// An extension has a key, a name and handlers. The attribute `#[extension]` implements the trait. All handlers share
/// one value, which lives as long as the router.
pub trait Extension: Send + Sync + 'static {
    /// Names the extension to admins who install it, and in all records of it: 1 to 64 bytes of `[a-z0-9_.-]`, the
    /// first of them a letter or a digit. Never change it: an extension with another key is another extension.
    fn key(&self) -> &str;

    /// The name of an installation to which the admin has given none: 1 to 120 characters.
    fn name(&self) -> &str;

    /// Its handlers, at least one, with different names. The name of a handler is stored with the deliveries that wait
    /// for it: a renamed handler is a new one, and does not get them.
    fn handlers(self: Arc<Self>) -> Vec<EventHandler>;
}
