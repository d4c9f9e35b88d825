//! Dependencies point one way: which crate may know which, which module of `src/` which, and no two modules of a
//! crate each other.
//!
//! Cargo holds the arrows between crates; this holds what Cargo is told.

mod crates;
mod modules;
mod rings;
