//! One attempt to deliver one event to an external service: `POST {base}/events`.
//!
//! 1. [`DeliveryTarget`] holds what is the same for every event of an installation: URL, keys, headers.
//! 2. `connector` resolves the host through the [`BoundedResolver`] that all clients share, and connects
//!    only to addresses that the address policy allows.
//! 3. `classify` turns the head of the answer, or the error, into outcome and verdict. It is pure.
//! 4. [`ExternalClient`] ties these together under one time-out.

mod classify;
mod client;
mod connector;
mod resolver;
mod target;
#[cfg(test)]
mod tests;
mod transport;

pub use client::{ExternalClient, ExternalClientConfig, tls_config};
pub use resolver::{BoundedResolver, Lookup, ResolveError};
pub use target::{DeliveryTarget, TargetError, is_reserved_header};
#[cfg(test)]
pub(crate) use transport::SimulatedService;
pub(super) use transport::Transport;
