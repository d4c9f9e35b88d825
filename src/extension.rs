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
//! - A handler that fails, panics or is slow does not affect the others: each handler of an extension has its own
//!   deliveries.
//! - What it publishes through [`EventContext::publish`] is not published again when it is retried. What it does
//!   in an [`Effect`] is done exactly once.

#[doc(hidden)]
pub use pointsman_extension::expanded;
pub use pointsman_extension::{
    ActorExtension, Effect, EventContext, EventHandler, Extension, Extensions, FromEvent, HandleEvent,
    HandlerError, HandlerOutcome, PlatformEvent, Publication, PublishError, Registered, RegistrationError,
    event_handler, extension,
};
