//! Extensions of this process, and programs that embed the server.
//!
//! Black-box tests of the real binary over real HTTP, on both databases. Each module holds the tests of one promise.

mod chat;
mod examples;
mod extensions_limits;
mod hosts;
mod in_process;
