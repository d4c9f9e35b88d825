//! Extensions made of actors.

/// An extension whose handlers are actix actors.
///
/// The crate `actix`, version 0.13, has the traits of actors.
///
/// ```
/// use actix::prelude::*;
/// use pointsman::{
///     extension::{ActorExtension, HandleEvent, HandlerError},
///     testing::TestRouter,
/// };
/// use serde::Deserialize;
/// use serde_json::json;
///
/// #[derive(Deserialize)]
/// struct Payment {
///     amount: i64,
/// }
///
/// struct Ledger {
///     total: i64,
/// }
///
/// impl Actor for Ledger {
///     type Context = Context<Self>;
/// }
///
/// impl Handler<HandleEvent<Payment>> for Ledger {
///     type Result = Result<(), HandlerError>;
///
///     fn handle(&mut self, event: HandleEvent<Payment>, _: &mut Self::Context) -> Self::Result {
///         self.total += event.payload.amount;
///         Ok(())
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # actix_web::rt::System::new().block_on(async {
/// let ledger = Ledger { total: 0 }.start();
/// let enter = ledger.recipient::<HandleEvent<Payment>>();
/// let extension = ActorExtension::new("ledger", "Ledger").handler("enter", "payment.*", enter)?;
///
/// let test = TestRouter::with(extension).await;
/// test.publish("payment.received", json!({ "amount": 5 })).await;
/// test.settled().await;
/// assert_eq!(test.handled_by("enter").len(), 1);
/// # test.stop().await;
/// # Ok(())
/// # })
/// # }
/// ```
#[doc(inline)]
pub use pointsman_extension::ActorExtension;

/// An event on its way to an actor of an [`ActorExtension`].
///
/// ```
/// use actix::prelude::*;
/// use pointsman::extension::{HandleEvent, HandlerError, PlatformEvent};
///
/// /// Takes the whole event, and works asynchronously.
/// struct Mirror;
///
/// impl Actor for Mirror {
///     type Context = Context<Self>;
/// }
///
/// impl Handler<HandleEvent<PlatformEvent>> for Mirror {
///     type Result = ResponseFuture<Result<(), HandlerError>>;
///
///     fn handle(&mut self, event: HandleEvent<PlatformEvent>, _: &mut Self::Context) -> Self::Result {
///         Box::pin(async move {
///             let HandleEvent { payload, context } = event;
///             println!("attempt {} of {}", context.attempt(), payload.event_key);
///             Ok(())
///         })
///     }
/// }
/// # use pointsman::{extension::ActorExtension, testing::TestRouter};
/// # actix_web::rt::System::new().block_on(async {
/// # let copy = Mirror.start().recipient::<HandleEvent<PlatformEvent>>();
/// # let extension = ActorExtension::new("mirror", "Mirror").async_handler("copy", "**", copy).unwrap();
/// # let test = TestRouter::with(extension).await;
/// # test.publish("order.placed", serde_json::json!({})).await;
/// # test.settled().await;
/// # assert_eq!(test.handled_by("copy").len(), 1);
/// # test.stop().await;
/// # });
/// ```
#[doc(inline)]
pub use pointsman_extension::HandleEvent;
