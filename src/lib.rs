//! Pointsman routes the events of an extension platform.
//!
//! Who writes an extension that runs in the server begins with [`extension`] and tests it with [`testing`]. Who makes
//! a server of it begins with [`Server`]:
//!
//! ```no_run
//! use pointsman::{
//!     Server,
//!     config::Config,
//!     extension::{HandlerError, PlatformEvent, event_handler, extension},
//! };
//!
//! struct Crm;
//!
//! #[extension(key = "crm")]
//! impl Crm {
//!     #[event_handler(event_key = "crm.**")]
//!     async fn seen(&self, event: PlatformEvent) -> Result<(), HandlerError> {
//!         println!("{} {}", event.event_key, event.payload);
//!         Ok(())
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! actix_web::rt::System::new().block_on(async {
//!     Server::builder(Config::load(None)?).extension(Crm).start().await?.run().await?;
//!     Ok(())
//! })
//! # }
//! ```
//!
//! The engine itself is in crates of its own, which promise nothing to anybody but this one: the way of an event
//! through them is told in `docs/architecture.md`.

// The macros write paths from `::pointsman`, and are used here too.
extern crate self as pointsman;

mod chat;
pub mod extension;
#[doc(hidden)]
pub mod http;
pub mod server;
pub mod testing;

pub use pointsman_config as config;

pub use self::{
    extension::{event_handler, extension},
    server::Server,
};
