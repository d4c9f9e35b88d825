//! What handlers publish.

/// An event to be published: its event key, its payload and, where they are set, its schema version and its actor.
///
/// ```
/// use pointsman::{
///     extension::{EventContext, HandlerError, Publication, event_handler, extension},
///     testing::TestRouter,
/// };
/// use serde_json::json;
///
/// struct Warehouse;
///
/// #[extension(key = "warehouse")]
/// impl Warehouse {
///     #[event_handler(event_key = "order.placed")]
///     async fn ship(&self, cx: EventContext) -> Result<(), HandlerError> {
///         let shipped = Publication::new("order.shipped", &json!({ "parcels": 2 }))?
///             .schema_version("1.0")?
///             .actor("warehouse-robot")?;
///         cx.publish_event(shipped).await?;
///         Ok(())
///     }
/// }
///
/// # actix_web::rt::System::new().block_on(async {
/// let test = TestRouter::with(Warehouse).await;
/// test.publish("order.placed", json!({})).await;
/// test.settled().await;
/// let shipped = &test.published().await[0];
/// assert_eq!(shipped.schema_version.as_deref(), Some("1.0"));
/// assert_eq!(shipped.actor.as_deref(), Some("warehouse-robot"));
/// # test.stop().await;
/// # });
/// ```
#[doc(inline)]
pub use pointsman_extension::Publication;

/// Why an event of a handler was not published. What hosts get from the router is another type of the same name,
/// [`server::router::PublishError`](crate::server::router::PublishError).
///
/// ```
/// use pointsman::extension::{EventContext, HandlerError, Publication, PublishError};
/// use serde_json::json;
///
/// /// Publishes, but gives up where a retry cannot help.
/// async fn notify(cx: &EventContext) -> Result<(), HandlerError> {
///     match cx.publish("platform.notification", json!({ "message": "done" })).await {
///         Ok(_) => Ok(()),
///         Err(error @ PublishError::TooDeep { .. }) => Err(HandlerError::permanent(error)),
///         Err(error) => Err(error.into()),
///     }
/// }
///
/// let error = Publication::new("notification", &json!({})).unwrap_err();
/// assert!(matches!(error, PublishError::EventKey { .. }), "it has one segment only");
/// let error = Publication::new("platform.notification", &json!(["done"])).unwrap_err();
/// assert_eq!(error.to_string(), "the payload must be an object");
/// ```
#[doc(inline)]
pub use pointsman_extension::PublishError;
