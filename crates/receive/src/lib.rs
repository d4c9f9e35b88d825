//! A small external service, which `pointsman receive` runs and to which tests deliver.
//!
//! [`Receiver`] is a real HTTP server that takes `POST /events`, records the deliveries and answers as its [`Behavior`]
//! says. [`RawReceiver`] writes bytes, for misbehaviour of which an HTTP server is not capable.

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
