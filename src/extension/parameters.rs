//! The parameters of handlers.

/// The attempt that a handler is called for: the second parameter of a handler, or its only one.
///
/// ```
/// use pointsman::{
///     extension::{EventContext, HandlerError, event_handler, extension},
///     testing::TestRouter,
/// };
/// use serde_json::json;
///
/// struct Audit;
///
/// #[extension(key = "audit")]
/// impl Audit {
///     #[event_handler(event_key = "order.placed")]
///     async fn placed(&self, cx: EventContext) -> Result<(), HandlerError> {
///         let entry = json!({
///             "id": cx.deduplication_id(),
///             "order": cx.event().id.to_string(),
///             "workspace": cx.workspace_id().to_string(),
///             "attempt": cx.attempt(),
///         });
///         let id = cx.publish("audit.entry", entry).await?;
///         println!("{id} is durable");
///         Ok(())
///     }
/// }
///
/// # actix_web::rt::System::new().block_on(async {
/// let test = TestRouter::with(Audit).await;
/// let order = test.publish("order.placed", json!({})).await;
/// test.settled().await;
/// let entry = &test.published().await[0];
/// assert_eq!(entry.cause.map(|cause| cause.causation_id), Some(order));
/// # test.stop().await;
/// # });
/// ```
#[doc(inline)]
pub use pointsman_extension::EventContext;

/// The whole event, for a handler that needs more than the payload.
///
/// ```
/// use pointsman::{
///     extension::{HandlerError, PlatformEvent, event_handler, extension},
///     testing::TestRouter,
/// };
/// use serde_json::{Value, json};
///
/// struct Mirror;
///
/// #[extension(key = "mirror")]
/// impl Mirror {
///     #[event_handler(event_key = "**")]
///     fn copy(&self, event: PlatformEvent) -> Result<(), HandlerError> {
///         let payload: Value = serde_json::from_str(&event.payload)?;
///         println!("{} {} {payload}", event.seq.get(), event.event_key);
///         Ok(())
///     }
/// }
///
/// # actix_web::rt::System::new().block_on(async {
/// let test = TestRouter::with(Mirror).await;
/// test.publish("order.placed", json!({ "orderId": 7 })).await;
/// test.settled().await;
/// assert_eq!(&*test.handled()[0].event.payload, r#"{"orderId":7}"#);
/// # test.stop().await;
/// # });
/// ```
#[doc(inline)]
pub use pointsman_extension::PlatformEvent;

/// What the first parameter of a handler can be: a payload type, or the whole event.
///
/// ```
/// use pointsman::{
///     extension::{FromEvent, HandlerError, PlatformEvent, event_handler, extension},
///     testing::TestRouter,
/// };
/// use serde_json::json;
///
/// /// How much a publisher sends. It does not implement `serde::Deserialize`.
/// struct Size {
///     bytes: usize,
/// }
///
/// impl FromEvent for Size {
///     fn from_event(event: &PlatformEvent) -> Result<Self, HandlerError> {
///         Ok(Self { bytes: event.payload.len() })
///     }
/// }
///
/// struct Meter;
///
/// #[extension(key = "meter")]
/// impl Meter {
///     #[event_handler(event_key = "**")]
///     fn measure(&self, size: Size) -> Result<(), HandlerError> {
///         assert_eq!(size.bytes, 2);
///         Ok(())
///     }
/// }
///
/// # actix_web::rt::System::new().block_on(async {
/// let test = TestRouter::with(Meter).await;
/// test.publish("order.placed", json!({})).await;
/// test.settled().await;
/// assert_eq!(test.handled_by("measure").len(), 1);
/// # test.stop().await;
/// # });
/// ```
#[doc(inline)]
pub use pointsman_extension::FromEvent;
