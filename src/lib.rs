//! Pointsman routes the events of an extension platform.
//!
//! The way of an event, and the module of each step:
//!
//! 1. `POST …/events/publish` is parsed and checked in [`http`]; who may publish is decided in [`auth`].
//! 2. [`router`] hands it to the `WorkspaceActor` of its workspace.
//! 3. [`journal`] commits it together with whatever else is waiting (group commit) and then, and only
//!    then, answers the publisher.
//! 4. The `WorkspaceActor` serves the new events to its delivery actors, each of which runs a
//!    [`domain::lane::Lane`]: the pure core that decides what is attempted, parked, settled or given up.
//! 5. What is given up becomes a dead letter, written by the `DeadLetterActor` through the journal.
//!
//! [`store`] holds the queries off the hot path, [`config`] the typed configuration, [`clock`] the only
//! source of time and randomness, and [`receive`] a small external service for trying things out.

// The macros write paths from `::pointsman`, and are used here too.
extern crate self as pointsman;

pub mod auth;
pub mod chat;
pub mod config;
mod event_router;
pub mod extension;
pub mod http;
pub mod server;
pub mod testing;

pub use extension::{event_handler, extension};
