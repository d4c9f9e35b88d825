//! Identities, and the secrets that the server keeps: passwords, sessions, sealed values.
//!
//! `http::access` decides what a caller may do, from what [`access_cache`] remembers.

pub mod access_cache;
pub mod bootstrap;
pub mod email;
pub mod entropy;
pub mod expiring;
pub mod key_check;
pub mod key_file;
mod memory;
pub mod passwords;
pub mod seal;
pub mod sessions;
