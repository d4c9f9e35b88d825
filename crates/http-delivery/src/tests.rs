//! Attempts over real sockets.

mod addresses;
mod answers;
mod connections;
mod kit;
mod misbehaviour;
mod request;
mod tls;
