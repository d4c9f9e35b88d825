//! A kit for tests of in-process extensions: a router in the process of the test, with a database of its own.
//!
//! [`TestRouter`] installs the extensions in one workspace. A test publishes events, waits until they are settled, and
//! looks at what was handled, published and given up. The clock is turned forward by the test, so that a retry needs no
//! waiting.
//!
//! ```
//! use pointsman::{
//!     extension::{EventContext, HandlerError, event_handler, extension},
//!     testing::TestRouter,
//! };
//! use serde::Deserialize;
//! use serde_json::json;
//!
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
//!         if cx.attempt() == 1 {
//!             return Err(HandlerError::new("the ledger is busy"));
//!         }
//!         let message = format!("A deal was closed for {}!", deal.amount);
//!         cx.publish("crm.announced", json!({ "message": message })).await?;
//!         Ok(())
//!     }
//! }
//!
//! # /* The example is no test: it calls the function.
//! #[actix_web::test]
//! # */
//! async fn a_closed_deal_is_announced_at_the_second_attempt() {
//!     let test = TestRouter::with(Crm).await;
//!     let deal = test.publish("crm.deal.closed", json!({ "amount": "5000.00" })).await;
//!     test.settled().await;
//!     assert!(test.handled().is_empty(), "its first attempt has failed");
//!
//!     test.turn_clock(std::time::Duration::from_secs(10)).await;
//!     test.settled().await;
//!     assert_eq!(test.handled()[0].event.id, deal);
//!     let published = test.published().await;
//!     assert_eq!(published[0].event_key.as_str(), "crm.announced");
//!     assert_eq!(published[0].correlation_id(), deal);
//!     assert!(test.dead_letters().await.is_empty());
//!     test.stop().await;
//! }
//! # actix_web::rt::System::new().block_on(a_closed_deal_is_announced_at_the_second_attempt());
//! ```
//!
//! `#[actix_web::test]` runs the test within an actix `System`, which the router needs. The test depends on `actix-web`
//! 4 with the feature `macros`. The examples of the items begin within such a function.

mod builder;
mod calls;
mod folder;
mod letters;
mod router;

pub use self::{
    builder::TestRouterBuilder,
    calls::Handled,
    letters::{DeadLetter, DeadLetterId, DeadLetterReason, DeadLetterStatus},
    router::TestRouter,
};

#[cfg(test)]
mod tests;
