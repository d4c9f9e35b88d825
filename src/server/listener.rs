//! The listening socket.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs as _},
};

use tokio::net::TcpSocket;

use super::start_error::StartError;
use pointsman_config::Config;

/// The most connections that wait to be accepted.
const BACKLOG: u32 = 2048;

/// Listens on the first address of the host that can be listened on.
pub(super) fn listen(config: &Config) -> Result<std::net::TcpListener, StartError> {
    let host = config.server.host.trim_matches(['[', ']']);
    let addresses = (host, config.server.port).to_socket_addrs();
    let mut last_error = io::Error::other("the host has no address");
    for address in addresses.map_err(|source| listen_error(config, source))? {
        match listen_on(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last_error = error,
        }
    }
    Err(listen_error(config, last_error))
}

/// Lets [`BACKLOG`] connections wait. With the listener of the standard library 128 wait, and the next ones of a burst
/// are reset.
fn listen_on(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Otherwise a restart fails while the system still remembers connections of the former process.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

pub(super) fn listen_error(config: &Config, source: io::Error) -> StartError {
    StartError::Listen {
        address: format!("{}:{}", config.server.host, config.server.port),
        source,
    }
}
