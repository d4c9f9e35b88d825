//! Queries off the hot path, by subject.
//!
//! Functions take any connection, a pool as well as a transaction. One that reads or writes what belongs to
//! a workspace takes its id, or says `across_workspaces`.

pub mod attempts;
pub mod backlog;
pub mod chat;
mod conditions;
pub mod dead_letters;
pub mod direction;
pub mod erasures;
pub mod event_deliveries;
pub mod events;
pub mod installations;
pub mod members;
mod pieces;
pub mod sessions;
pub mod storage;
pub mod subscriptions;
pub mod users;
pub mod workspaces;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
