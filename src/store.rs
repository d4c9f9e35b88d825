//! Queries off the hot path, by subject.
//!
//! Functions take any connection, a pool as well as a transaction. One that reads or writes what belongs to
//! a workspace takes its id, or says `across_workspaces`.

pub mod members;
pub mod sessions;
pub mod users;
pub mod workspaces;

#[cfg(test)]
mod tests;
