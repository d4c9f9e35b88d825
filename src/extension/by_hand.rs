//! Extensions without the attributes.

/// Code that handles events in this process.
///
/// ```
/// use std::sync::Arc;
///
/// use pointsman::{
///     extension::{EventHandler, Extension},
///     testing::TestRouter,
/// };
/// use serde_json::json;
///
/// /// Logs the events with the keys that the configuration of the host names.
/// struct EventLog {
///     keys: Vec<String>,
/// }
///
/// impl Extension for EventLog {
///     fn key(&self) -> &str {
///         "event-log"
///     }
///
///     fn name(&self) -> &str {
///         "Event log"
///     }
///
///     fn handlers(self: Arc<Self>) -> Vec<EventHandler> {
///         let handler = |(index, key): (usize, &String)| {
///             EventHandler::new(&format!("log_{index}"), key, |context| {
///                 Box::pin(async move {
///                     println!("{}", context.event().event_key);
///                     Ok(().into())
///                 })
///             })
///         };
///         self.keys.iter().enumerate().filter_map(|key| handler(key).ok()).collect()
///     }
/// }
///
/// # actix_web::rt::System::new().block_on(async {
/// let test = TestRouter::with(EventLog { keys: vec!["order.*".to_owned()] }).await;
/// test.publish("order.placed", json!({})).await;
/// test.settled().await;
/// assert_eq!(test.handled()[0].handler, "log_0");
/// # test.stop().await;
/// # });
/// ```
#[doc(inline)]
pub use pointsman_extension::Extension;

/// One handler of an extension that implements [`Extension`] by hand.
///
/// ```
/// use std::time::Duration;
///
/// use pointsman::extension::EventHandler;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let handler = EventHandler::new("placed", "order.placed", |context| {
///     Box::pin(async move {
///         println!("{}", context.event().payload);
///         Ok(().into())
///     })
/// })?
/// .asynchronous()
/// .retry([Duration::from_secs(1), Duration::from_secs(60)])
/// .max_attempts(5);
/// assert!(handler.is_async());
/// assert_eq!(handler.pattern().as_str(), "order.placed");
/// # Ok(())
/// # }
/// ```
#[doc(inline)]
pub use pointsman_extension::EventHandler;
