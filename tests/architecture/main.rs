//! Dependencies point one way: which crate may know which, which module of `src/` which, and no two modules of a
//! crate each other. The commands of Cargo in scripts and texts name packages and targets that exist.
//!
//! Cargo enforces the arrows between crates; this test checks the manifests that Cargo is given.

mod commands;
mod crates;
mod modules;
mod rings;
