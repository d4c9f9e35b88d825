//! What a host asks a router, and the answers.

/// The router behind a server.
///
/// ```
/// use std::time::Duration;
///
/// use pointsman::{config::Config, server::{RouterBuilder, router::EventRouter}};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("pointsman-doc-event-router-{}", std::process::id()));
/// # let file = format!("[server]\nport = 0\n[database]\nurl = \"sqlite://{}/test.db\"", folder.display());
/// let config = Config::from_sources(Some(&file), [])?;
/// # actix_web::rt::System::new().block_on(async {
/// let router: EventRouter = RouterBuilder::new(config).start().await?;
/// assert_eq!(router.readiness(), Ok(()));
/// router.stop(Duration::from_secs(30)).await;
/// # std::fs::remove_dir_all(folder)?;
/// # Ok(())
/// # })
/// # }
/// ```
#[doc(inline)]
pub use pointsman_engine::EventRouter;

/// The source of ids and times.
///
/// ```
/// use pointsman::server::router::{Clock, EventId};
///
/// let (first, second) = (EventId::new(Clock.new_uuid()), EventId::new(Clock.new_uuid()));
/// assert!(first < second, "a new id is larger");
/// let begun = Clock.now();
/// assert!(Clock.now() >= begun, "also where the wall clock is set back");
/// ```
#[doc(inline)]
pub use pointsman_clock::Clock;

/// Why the server can neither accept nor deliver.
///
/// ```
/// use pointsman::server::router::{EventRouter, NotReady};
///
/// fn told(router: &EventRouter) -> String {
///     match router.readiness() {
///         Ok(()) => "ready".to_owned(),
///         Err(NotReady::ShuttingDown) => "it stops".to_owned(),
///         Err(NotReady::Storage(why) | NotReady::Waker(why)) => why,
///     }
/// }
/// ```
#[doc(inline)]
pub use pointsman_router::NotReady;

/// Why a change was not made.
///
/// ```
/// use pointsman::server::router::ChangeError;
///
/// fn may_try_again(error: &ChangeError) -> bool {
///     matches!(error, ChangeError::StorageUnavailable)
/// }
/// assert!(!may_try_again(&ChangeError::NotFound("extension")));
/// ```
#[doc(inline)]
pub use pointsman_router::ChangeError;

/// How an installation is doing.
///
/// ```
/// use pointsman::server::router::{BreakerState, LaneHealth};
///
/// fn needs_an_admin(health: &LaneHealth) -> bool {
///     health.failed || health.breaker != BreakerState::Closed
/// }
/// assert!(!needs_an_admin(&LaneHealth::default()));
/// ```
#[doc(inline)]
pub use pointsman_router::LaneHealth;

/// Whether attempts are held back.
///
/// ```
/// use pointsman::server::router::{BreakerState, Timestamp};
///
/// fn next_attempt(breaker: BreakerState) -> Option<Timestamp> {
///     match breaker {
///         BreakerState::Closed => None,
///         BreakerState::Open { next_probe_at, .. } => Some(next_probe_at),
///     }
/// }
/// assert_eq!(next_attempt(BreakerState::Closed), None);
/// ```
#[doc(inline)]
pub use pointsman_domain::lane::BreakerState;

/// Why attempts are held back.
///
/// ```
/// use pointsman::server::router::BreakerCause;
///
/// let cause = BreakerCause { error: Some("connection refused".to_owned()), status: None };
/// assert!(cause.status.is_none(), "there was no answer");
/// ```
#[doc(inline)]
pub use pointsman_domain::lane::BreakerCause;

/// What a test event has come to.
///
/// ```
/// use pointsman::server::router::{AttemptResult, Verdict};
///
/// fn told(result: &AttemptResult) -> String {
///     let AttemptResult { outcome, verdict, duration, .. } = result;
///     let is_well = *verdict == Verdict::Delivered;
///     format!("{} after {} ms, well: {is_well}", outcome.as_str(), duration.as_millis())
/// }
/// ```
#[doc(inline)]
pub use pointsman_domain::attempt::AttemptResult;

/// How an attempt has ended.
///
/// ```
/// use pointsman::server::router::AttemptOutcome;
///
/// assert_eq!(AttemptOutcome::Http5xx.as_str(), "HTTP_5XX");
/// ```
#[doc(inline)]
pub use pointsman_domain::attempt::AttemptOutcome;

/// What follows from an attempt.
///
/// ```
/// use pointsman::server::router::Verdict;
///
/// let again = Verdict::Retry { retry_after: None };
/// assert_ne!(again, Verdict::Delivered);
/// ```
#[doc(inline)]
pub use pointsman_domain::attempt::Verdict;
