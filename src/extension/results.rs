//! What handlers return.

/// Why a handler has failed, and whether the delivery is retried.
///
/// ```
/// use std::time::Duration;
///
/// use pointsman::{
///     extension::{HandlerError, event_handler, extension},
///     testing::TestRouter,
/// };
/// use serde::Deserialize;
/// use serde_json::json;
///
/// #[derive(Deserialize)]
/// struct Payment {
///     amount: String,
/// }
///
/// struct Ledger;
///
/// #[extension(key = "ledger")]
/// impl Ledger {
///     #[event_handler(event_key = "payment.received", retry = "10s", max_attempts = 2)]
///     fn enter(&self, payment: Payment) -> Result<(), HandlerError> {
///         // `?` makes it a failure that is retried; it would fail at every attempt, though.
///         let amount: i64 = payment.amount.parse().map_err(HandlerError::permanent)?;
///         match amount {
///             0 => Err(HandlerError::new("the ledger is busy")),
///             1 => Err(HandlerError::retry_after(Duration::from_secs(60), "the ledger is closed")),
///             _ => Ok(()),
///         }
///     }
/// }
///
/// # actix_web::rt::System::new().block_on(async {
/// let test = TestRouter::with(Ledger).await;
/// for amount in ["much", "0", "1", "2"] {
///     test.publish("payment.received", json!({ "amount": amount })).await;
/// }
/// test.settled().await;
/// assert_eq!(test.handled().len(), 1, "2 is entered, 0 and 1 are retried");
/// let dead = test.dead_letters().await;
/// assert_eq!(dead[0].last_error.as_deref(), Some("invalid digit found in string"));
/// # test.stop().await;
/// # });
/// ```
#[doc(inline)]
pub use pointsman_extension::HandlerError;

/// Writes to Pointsman's database and events that are done exactly once, with the end of the delivery.
///
/// The crate `sea-orm`, version 2, has the type of the transaction.
///
/// ```
/// use futures_util::FutureExt as _;
/// use pointsman::{
///     extension::{Effect, EventContext, HandlerError, Publication, event_handler, extension},
///     testing::TestRouter,
/// };
/// use sea_orm::{ConnectionTrait as _, DatabaseTransaction};
/// use serde_json::json;
///
/// struct Ledger;
///
/// #[extension(key = "ledger")]
/// impl Ledger {
///     #[event_handler(event_key = "payment.received")]
///     async fn enter(&self, cx: EventContext) -> Result<Effect, HandlerError> {
///         let entered = Publication::new("ledger.entered", &json!({}))?;
///         let id = cx.deduplication_id();
///         Ok(Effect::new(move |transaction| insert(transaction, id.to_string()).boxed()).and_publish(entered))
///     }
/// }
///
/// async fn insert(transaction: &DatabaseTransaction, id: String) -> Result<(), HandlerError> {
///     transaction.execute_unprepared("CREATE TABLE IF NOT EXISTS entry (id TEXT PRIMARY KEY)").await?;
///     transaction.execute_unprepared(&format!("INSERT INTO entry VALUES ('{id}')")).await?;
///     Ok(())
/// }
///
/// # actix_web::rt::System::new().block_on(async {
/// let test = TestRouter::with(Ledger).await;
/// test.publish("payment.received", json!({})).await;
/// test.settled().await;
/// assert_eq!(test.published().await[0].event_key.as_str(), "ledger.entered");
/// # test.stop().await;
/// # });
/// ```
#[doc(inline)]
pub use pointsman_extension::Effect;

/// The success of a handler: nothing more to do, or an [`Effect`].
///
/// ```
/// use pointsman::extension::{Effect, HandlerError, HandlerOutcome, Publication};
/// use serde_json::json;
///
/// /// What a handler does that notifies the platform of large orders only.
/// fn outcome(amount: u64) -> Result<HandlerOutcome, HandlerError> {
///     if amount < 1000 {
///         return Ok(().into());
///     }
///     let notification = Publication::new("order.large", &json!({ "amount": amount }))?;
///     Ok(Effect::publishing(notification).into())
/// }
///
/// assert!(outcome(5000).is_ok());
/// ```
#[doc(inline)]
pub use pointsman_extension::HandlerOutcome;
