//! What becomes of a delivery: attempts, retries, breakers, order, dead letters.
//!
//! Black-box tests of the real binary over real HTTP, on both databases. Each module holds the tests of one promise.

mod breaker;
mod dead_letters;
mod endpoints;
mod erasures;
mod lanes;
mod neighbours;
mod patterns;
mod retries;
mod spans;
mod time;
