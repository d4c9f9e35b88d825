//! What authors of in-process extensions use.
//!
//! An extension is a type with handlers. The attributes [`macro@extension`] and [`macro@event_handler`] make one of
//! an `impl` block; [`ActorExtension`] makes one of actix actors that exist already; everything else implements
//! [`Extension`] by hand. It is registered with the builder of the router or of the server, and runs in a
//! workspace only where an admin has installed it.
//!
//! What a handler may count on:
//! - It gets every event that is due to it at least once, and again only after a failure, a crash or a time-out:
//!   [`EventContext::deduplication_id`] is the same every time.
//! - Its failure, its panic and its slowness are its own: the other handlers of the extension have deliveries of
//!   their own.
//! - What it publishes through [`EventContext::publish`] is not published again when it is retried. What it does
//!   in an [`Effect`] is done exactly once.

mod actor;
mod context;
mod effect;
mod error;
mod event;
#[doc(hidden)]
pub mod expanded;
mod handler;
mod outcome;
mod payload;
mod publication;
mod registry;
mod schema;

use std::sync::Arc;

pub use pointsman_macros::{event_handler, extension};

pub use self::{
    actor::{ActorExtension, HandleEvent},
    context::EventContext,
    effect::Effect,
    error::HandlerError,
    event::PlatformEvent,
    handler::EventHandler,
    outcome::HandlerOutcome,
    payload::FromEvent,
    publication::{Publication, PublishError},
    registry::{Extensions, Registered, RegistrationError},
};
pub(crate) use self::{
    context::{ContextParts, HandlerPublish},
    effect::EffectWork,
    error::Failure,
};

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

#[cfg(test)]
mod tests;
