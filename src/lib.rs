//! Pointsman routes the events of an extension platform.
//!
//! An author of an extension that runs in the server writes it with [`mod@extension`] and tests it with [`testing`].
//! A host runs it in a [`Server`], which [`config`] sets up.
//!
//! # What a host depends on
//! ```toml
//! [dependencies]
//! # A folder with the source of Pointsman, or `git = "…"` with the URL of its repository and a `rev`.
//! pointsman = { path = "../pointsman" }
//! # The runtime: `#[actix_web::main]`, and `#[actix_web::test]` in tests.
//! actix-web = { version = "4", default-features = false, features = ["macros"] }
//! # The types of payloads, and the payloads of events that handlers publish.
//! serde = { version = "1", features = ["derive"] }
//! serde_json = "1"
//! # Where the type of a payload derives `JsonSchema`, which is optional.
//! schemars = "1"
//! ```
//!
//! Extensions with [effects](extension::Effect) need `sea-orm` 2 as well, those of [actors](extension::ActorExtension)
//! `actix` 0.13.
//!
//! # Write an extension and test it
//! An event has a key, such as `crm.deal.closed`, and a payload, which is a JSON object. A handler takes the events
//! with one key or pattern.
//!
//! ```
//! use pointsman::{
//!     extension::{EventContext, HandlerError, event_handler, extension},
//!     testing::TestRouter,
//! };
//! use serde::Deserialize;
//! use serde_json::json;
//!
//! /// The payload of the event `crm.deal.closed`.
//! #[derive(Deserialize)]
//! struct DealClosed {
//!     amount: String,
//! }
//!
//! struct Crm;
//!
//! #[extension(key = "crm")]
//! impl Crm {
//!     #[event_handler(event_key = "crm.deal.closed")]
//!     async fn deal_closed(&self, deal: DealClosed, cx: EventContext) -> Result<(), HandlerError> {
//!         let text = format!("A deal was closed for {}!", deal.amount);
//!         cx.publish("crm.announced", json!({ "text": text })).await?;
//!         Ok(())
//!     }
//! }
//!
//! # /* The example is no test: it calls the function.
//! #[actix_web::test]
//! # */
//! async fn a_closed_deal_is_announced() {
//!     let test = TestRouter::with(Crm).await;
//!     test.publish("crm.deal.closed", json!({ "amount": "5000.00" })).await;
//!     test.settled().await;
//!     assert_eq!(test.published().await[0].event_key.as_str(), "crm.announced");
//!     test.stop().await;
//! }
//! # actix_web::rt::System::new().block_on(a_closed_deal_is_announced());
//! ```
//!
//! # Run a server with it
//! The server listens on `127.0.0.1:8080` and keeps its data in `data/`, unless it is configured otherwise.
//!
//! ```no_run
//! use std::{error::Error, process::ExitCode};
//!
//! use pointsman::{Server, config::Config, server::exit};
//! # use pointsman::extension::{HandlerError, PlatformEvent, event_handler, extension};
//! # struct Crm;
//! # #[extension(key = "crm")]
//! # impl Crm {
//! #     #[event_handler(event_key = "crm.**")]
//! #     fn seen(&self, _: PlatformEvent) -> Result<(), HandlerError> {
//! #         Ok(())
//! #     }
//! # }
//!
//! #[actix_web::main]
//! async fn main() -> ExitCode {
//!     exit::run(start()).await
//! }
//!
//! async fn start() -> Result<Server, Box<dyn Error>> {
//!     Ok(Server::builder(Config::load(None)?).extension(Crm).start().await?)
//! }
//! ```
//!
//! [`exit::run`](server::exit::run) ends as `pointsman` itself does: where the server cannot start it prints one line,
//! and the exit code is 2.
//!
//! An admin installs the extension in the workspaces in which it is to run, with `POST …/extensions`.
//!
//! # What is not here
//! The engine is in crates of its own, whose interfaces may change at any time. `docs/architecture.md` describes the
//! way of an event through them.

#![warn(missing_docs)]

// The macros write paths that begin with `::pointsman`. This crate uses them too.
extern crate self as pointsman;

mod chat;
pub mod extension;
#[doc(hidden)]
pub mod http;
pub mod server;
pub mod testing;

#[doc(inline)]
pub use pointsman_config as config;

pub use self::{
    extension::{event_handler, extension},
    server::Server,
};
