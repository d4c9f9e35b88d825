//! Why there is no connection.

use std::{io, net::IpAddr};

use crate::resolver::ResolveError;

/// Why there is no connection. It travels inside [`actix_tls::connect::ConnectError::Resolver`], the only variant
/// that takes an error of ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error(transparent)]
    Dns(#[from] ResolveError),
    #[error("the address {0} is in a network that delivery.allow_networks does not allow")]
    Refused(IpAddr),
    #[error("no connection: {0}")]
    Connect(io::Error),
    #[error("no connection in time")]
    Timeout,
    #[error("the TLS handshake failed: {0}")]
    Tls(io::Error),
    /// The delivery goes out once more, on a connection that is closed afterwards.
    #[error("no idle slot for the connection")]
    NoIdleSlot,
}
