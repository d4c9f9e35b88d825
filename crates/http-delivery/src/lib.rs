//! One attempt to deliver one event to an external service: `POST {base}/events`.
//!
//! 1. [`DeliveryTarget`] holds what is the same for every event of an installation: URL, keys, headers.
//! 2. [`ConnectionBudget`] says when the installation may use a connection, before the attempt begins.
//! 3. `pool` keeps connections to an origin; `connector` makes them: it resolves the host through the
//!    [`BoundedResolver`] that all clients share, and connects only to addresses that the address policy allows.
//! 4. `stream` watches the bytes of an answer, and takes `interim` answers out of them.
//! 5. `classify` turns the head of the answer, or the error, into outcome and verdict. It is pure.
//! 6. [`ExternalClient`] ties these together under one time-out. The router knows it as a [`TransportClient`].

mod budget;
mod classify;
mod client;
mod config;
mod connector;
mod dial_error;
mod interim;
mod pool;
mod resolver;
mod stream;
mod target;
#[cfg(test)]
mod tests;
mod tls;
mod transport;

pub use budget::{ConnectionBudget, ConnectionPermit, Share};
pub use client::ExternalClient;
pub use config::ExternalClientConfig;
pub use resolver::{BoundedResolver, Lookup, ResolveError};
pub use target::{DeliveryTarget, TargetError, is_reserved_header};
pub use tls::{TrustError, tls_config, tls_config_with};
pub use transport::{Transport, TransportClient};
