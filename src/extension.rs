//! What authors of in-process extensions use: handlers, what they are given, and what they return.
//!
//! An extension is a type with handlers. Each handler takes the events with one event key or pattern. There are three
//! ways to write an extension:
//! - The attributes [`macro@extension`] and [`macro@event_handler`] on an `impl` block. This is the usual way.
//! - [`ActorExtension`], where the handlers are actix actors that exist already.
//! - An `impl` of the trait [`Extension`], where the handlers are known only at run time.
//!
//! An extension is registered with [`ServerBuilder::extension`](crate::server::ServerBuilder::extension), and runs in a
//! workspace only where an admin has installed it. [`TestRouter`](crate::testing::TestRouter) tests it.
//!
//! ```
//! use pointsman::{
//!     extension::{EventContext, HandlerError, PlatformEvent, event_handler, extension},
//!     testing::TestRouter,
//! };
//! use serde::Deserialize;
//! use serde_json::json;
//!
//! /// The payload of `crm.deal.closed`, as far as the handler needs it.
//! #[derive(Deserialize)]
//! struct DealClosed {
//!     amount: String,
//! }
//!
//! struct Crm;
//!
//! #[extension(key = "crm", name = "CRM")]
//! impl Crm {
//!     /// The publisher of the deal waits for it.
//!     #[event_handler(event_key = "crm.deal.closed", retry = "1s, 5s, 1m")]
//!     async fn deal_closed(&self, deal: DealClosed, cx: EventContext) -> Result<(), HandlerError> {
//!         cx.publish("crm.announced", json!({ "text": format!("{}!", deal.amount) })).await?;
//!         Ok(())
//!     }
//!
//!     /// Nobody waits for it.
//!     #[event_handler(event_key = "crm.**", async = true)]
//!     fn seen(&self, event: PlatformEvent) -> Result<(), HandlerError> {
//!         println!("{} {}", event.event_key, event.payload);
//!         Ok(())
//!     }
//! }
//!
//! # /* The example is no test: it calls the function.
//! #[actix_web::test]
//! # */
//! async fn a_deal_is_announced_and_both_events_are_seen() {
//!     let test = TestRouter::with(Crm).await;
//!     test.publish("crm.deal.closed", json!({ "amount": "5000.00" })).await;
//!     test.settled().await;
//!     assert_eq!(test.handled_by("deal_closed").len(), 1);
//!     assert_eq!(test.handled_by("seen").len(), 2, "the deal, and that it was announced");
//!     test.stop().await;
//! }
//! # actix_web::rt::System::new().block_on(a_deal_is_announced_and_both_events_are_seen());
//! ```
//!
//! # Guarantees
//! - A handler gets every event that is due to it at least once. It gets an event again only after a failure, a crash
//!   or a time-out, and [`EventContext::deduplication_id`] is the same every time.
//! - Handlers fail independently. Each has deliveries of its own, so that the failure, the panic or the slowness of one
//!   does not repeat or delay the deliveries of the others.
//! - What a handler publishes with [`EventContext::publish`] is not published again by a retry. The writes and events
//!   of an [`Effect`] are done exactly once.

// The examples of the items are in these modules, because they need the paths of this crate. The crate
// `pointsman-extension` has the rest of the documentation, which rustdoc shows below the examples.
mod actors;
mod attributes;
mod by_hand;
mod parameters;
mod publishing;
mod registry;
mod results;
mod values;

#[doc(hidden)]
pub use pointsman_extension::expanded;

pub use self::{
    actors::{ActorExtension, HandleEvent},
    attributes::{event_handler, extension},
    by_hand::{EventHandler, Extension},
    parameters::{EventContext, FromEvent, PlatformEvent},
    publishing::{Publication, PublishError},
    registry::{Extensions, Registered, RegistrationError},
    results::{Effect, HandlerError, HandlerOutcome},
    values::{EventId, EventKey, InstallationId, Seq, Timestamp, WorkspaceId},
};
