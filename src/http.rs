//! The HTTP interface: thin handlers by subject, over [`pointsman_router`] and [`pointsman_store`].
//!
//! Each handler below `/api` goes the same way: the [`access::Caller`], then the decision about access, then
//! the path, the query and the body, then the work.

pub mod access;
mod answer;
mod app;
mod auth;
mod budget;
mod caller;
mod channels;
pub mod connections;
mod dead_letters;
mod events;
mod extensions;
mod field_path;
mod head;
mod health;
mod held_body;
pub mod intake;
pub mod json;
mod known_caller;
mod members;
pub mod page;
mod parameters;
pub mod path;
mod payload;
pub mod problem;
pub mod query;
mod request_id;
pub mod state;
mod storage;
mod subscriptions;
mod users;
pub mod validate;
mod workspaces;

pub use app::{app, routes};
