//! What authors of in-process extensions use. They reach it as `pointsman::extension`, where the guarantees and the
//! examples are: the attributes write paths that begin with `::pointsman`.

#![warn(missing_docs)]

mod actor;
mod context;
mod declaration;
mod effect;
pub mod engine;
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

pub use pointsman_macros::{event_handler, extension};

pub use self::{
    actor::{ActorExtension, HandleEvent},
    context::EventContext,
    declaration::Extension,
    effect::Effect,
    error::HandlerError,
    event::PlatformEvent,
    handler::EventHandler,
    outcome::HandlerOutcome,
    payload::FromEvent,
    publication::{Publication, PublishError},
    registry::{Extensions, Registered, RegistrationError},
};

#[cfg(test)]
mod tests;

// The macros write paths that begin with `::pointsman`, which authors depend on.
#[cfg(test)]
extern crate self as pointsman;
#[cfg(test)]
use crate as extension;
