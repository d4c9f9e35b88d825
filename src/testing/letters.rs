//! The dead letters that a test finds.

/// A dead letter.
///
/// ```
/// use pointsman::testing::DeadLetter;
///
/// /// One line for a person.
/// fn told(letter: &DeadLetter) -> String {
///     let DeadLetter { event_key, reason, attempts, last_error, .. } = letter;
///     let error = last_error.as_deref().unwrap_or("it was not tried");
///     format!("{event_key}: {} after {attempts} attempts: {error}", reason.as_str())
/// }
/// ```
#[doc(inline)]
pub use pointsman_store::dead_letters::DeadLetter;

/// What became of a dead letter.
///
/// ```
/// use pointsman::{
///     extension::{EventContext, HandlerError, event_handler, extension},
///     testing::{DeadLetterId, DeadLetterReason, DeadLetterStatus, TestRouter},
/// };
/// use serde_json::json;
///
/// struct Closed;
///
/// #[extension(key = "closed")]
/// impl Closed {
///     #[event_handler(event_key = "order.placed")]
///     fn placed(&self, cx: EventContext) -> Result<(), HandlerError> {
///         match cx.is_replay() {
///             true => Ok(()),
///             false => Err(HandlerError::permanent("the shop is closed")),
///         }
///     }
/// }
///
/// # actix_web::rt::System::new().block_on(async {
/// let test = TestRouter::with(Closed).await;
/// test.publish("order.placed", json!({})).await;
/// test.settled().await;
/// let dead = &test.dead_letters().await[0];
/// assert_eq!((dead.status, dead.reason), (DeadLetterStatus::Dead, DeadLetterReason::Permanent));
///
/// let id: DeadLetterId = dead.id;
/// test.replay(id).await;
/// test.settled().await;
/// assert_eq!(test.dead_letters().await[0].status, DeadLetterStatus::Replayed);
/// test.stop().await;
/// # });
/// ```
#[doc(inline)]
pub use pointsman_store::dead_letters::DeadLetterStatus;

/// Why a delivery was given up.
///
/// ```
/// use pointsman::testing::DeadLetterReason;
///
/// assert_eq!(DeadLetterReason::RetriesExhausted.as_str(), "RETRIES_EXHAUSTED");
/// assert_eq!(DeadLetterReason::parse("PERMANENT_ERROR"), Some(DeadLetterReason::Permanent));
/// ```
#[doc(inline)]
pub use pointsman_domain::attempt::DeadLetterReason;

/// The id of a dead letter.
///
/// ```
/// use pointsman::testing::{DeadLetter, DeadLetterId, DeadLetterStatus};
///
/// /// Those that a test still has to replay.
/// fn left(letters: &[DeadLetter]) -> Vec<DeadLetterId> {
///     let dead = letters.iter().filter(|letter| letter.status == DeadLetterStatus::Dead);
///     dead.map(|letter| letter.id).collect()
/// }
/// ```
#[doc(inline)]
pub use pointsman_domain::id::DeadLetterId;
