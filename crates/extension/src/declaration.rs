//! What an extension is.

use std::sync::Arc;

use crate::handler::EventHandler;

/// Code that handles events in this process.
pub trait Extension: Send + Sync + 'static {
    /// Names the extension to admins who install it, and in everything stored of it: 1 to 64 bytes of
    /// `[a-z0-9_.-]`, of which the first is a letter or a digit. Never change it.
    fn key(&self) -> &str;

    /// The name that an installation gets where the admin gives none.
    fn name(&self) -> &str;

    /// Its handlers, with different names. A handler's name is stored with what waits for it: one that is
    /// renamed is a new one.
    fn handlers(self: Arc<Self>) -> Vec<EventHandler>;
}
