//! The black-box suite: the real binary over real HTTP, on both databases. Each module holds the tests of
//! one promise; one binary holds them all, because each links for seconds.

#[path = "../support/kit.rs"]
mod support;

mod seed;
