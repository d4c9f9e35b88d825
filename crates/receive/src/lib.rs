//! A small external service: what `pointsman receive` runs, and what tests deliver to.
//!
//! [`Receiver`] is a real HTTP server that takes `POST /events`, keeps what it got, and behaves as told.
//! [`RawReceiver`] speaks bytes, for the misbehaviour that an HTTP server cannot be talked into.

mod behavior;
mod command;
mod raw;
mod received;
mod server;

pub use behavior::Behavior;
pub use command::{ReceiveArgs, run_receive};
pub use raw::{RawAnswer, RawReceiver};
pub use received::{Received, SignatureCheck};
pub use server::{Observer, Receiver, ReceiverOptions};
