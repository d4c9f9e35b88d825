//! The words of the domain: types and rules without I/O, clocks or randomness.

pub mod address_policy;
pub mod attempt;
pub mod event;
pub mod event_key;
pub mod event_pattern;
pub mod handler_name;
pub mod id;
pub mod idempotency;
pub mod installation;
pub mod lane;
pub mod retry_schedule;
pub mod role;
pub mod seq;
pub mod signing;
pub mod span;
pub mod sync_latch;
pub mod timestamp;
