//! What callers see: routes, rights, bounds, errors, and the log.
//!
//! Black-box tests of the real binary over real HTTP, on both databases. Each module holds the tests of one promise.

mod access;
mod bad_input;
mod finding;
mod finding_fates;
mod log_lines;
mod overload;
mod pages;
mod receive;
mod searches;
mod seed;
mod start_errors;
mod surface;
