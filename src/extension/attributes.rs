//! The attributes.

/// Makes the handlers of an `impl` block an extension.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use pointsman::{
///     extension::{HandlerError, PlatformEvent, event_handler, extension},
///     testing::TestRouter,
/// };
///
/// #[derive(Default)]
/// struct Counter {
///     orders: AtomicU64,
/// }
///
/// #[extension(key = "counter", name = "Order counter")]
/// impl Counter {
///     #[event_handler(event_key = "order.placed")]
///     fn placed(&self, _: PlatformEvent) -> Result<(), HandlerError> {
///         self.orders.fetch_add(1, Ordering::Relaxed);
///         Ok(())
///     }
/// }
///
/// # actix_web::rt::System::new().block_on(async {
/// let test = TestRouter::with(Counter::default()).await;
/// let extensions = test.router().extensions();
/// assert_eq!(extensions.get("counter").map(|counter| &*counter.name), Some("Order counter"));
/// # test.stop().await;
/// # });
/// ```
#[doc(inline)]
pub use pointsman_extension::extension;

/// Makes a method a handler of its extension.
///
/// ```
/// use pointsman::{
///     extension::{EventContext, HandlerError, event_handler, extension},
///     testing::TestRouter,
/// };
/// use serde::Deserialize;
/// use serde_json::json;
///
/// #[derive(Deserialize)]
/// #[serde(rename_all = "camelCase")]
/// struct OrderPlaced {
///     order_id: u64,
/// }
///
/// struct Warehouse;
///
/// #[extension(key = "warehouse")]
/// impl Warehouse {
///     #[event_handler(event_key = "order.*", async = true, retry = "1s, 5s", max_attempts = 5)]
///     async fn reserve(&self, order: OrderPlaced, cx: EventContext) -> Result<(), HandlerError> {
///         println!("attempt {} to reserve order {}", cx.attempt(), order.order_id);
///         Ok(())
///     }
/// }
///
/// # actix_web::rt::System::new().block_on(async {
/// let test = TestRouter::with(Warehouse).await;
/// test.publish("order.placed", json!({ "orderId": 7 })).await;
/// test.settled().await;
/// assert_eq!(test.handled()[0].handler, "reserve");
/// # test.stop().await;
/// # });
/// ```
#[doc(inline)]
pub use pointsman_extension::event_handler;
