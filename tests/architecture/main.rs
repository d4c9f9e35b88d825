//! Dependencies point one way: which crate may know which, which module of `src/` which, and no two modules of a
//! crate each other.
//!
//! Cargo enforces the arrows between crates; this test checks the manifests that Cargo is given.

mod crates;
mod modules;
mod rings;
