//! What a host publishes, and what it is answered.

/// An event to be published.
///
/// ```
/// use pointsman::server::router::{Clock, EventId, EventKey, NewEvent};
///
/// fn closed(amount: u32) -> Option<NewEvent> {
///     Some(NewEvent {
///         id: EventId::new(Clock.new_uuid()),
///         event_key: EventKey::parse("crm.deal.closed").ok()?,
///         schema_version: Some("1.0".into()),
///         actor: Some("ann".into()),
///         payload: format!(r#"{{"amount":{amount}}}"#).into(), // JSON, kept byte for byte
///         occurred_at: Clock.wall(),
///         traceparent: None,
///         cause: None, // it comes from outside
///     })
/// }
/// assert!(closed(5000).is_some());
/// ```
#[doc(inline)]
pub use pointsman_domain::event::NewEvent;

/// What led to an event.
///
/// ```
/// use pointsman::{extension::PlatformEvent, server::router::{Cause, EventId}};
///
/// /// The event from outside with which everything began.
/// fn origin(event: &PlatformEvent) -> EventId {
///     match event.cause {
///         Some(Cause { correlation_id, .. }) => correlation_id,
///         None => event.id,
///     }
/// }
/// ```
#[doc(inline)]
pub use pointsman_domain::event::Cause;

/// The key under which a publish may be repeated.
///
/// ```
/// use pointsman::server::router::Idempotency;
///
/// /// `sha256` is that of what is published: the same key with other content is refused.
/// fn of_order(number: u64, sha256: [u8; 32]) -> Idempotency {
///     Idempotency { key: format!("order-{number}").into(), body_sha256: sha256 }
/// }
/// assert_eq!(&*of_order(7, [0; 32]).key, "order-7");
/// ```
#[doc(inline)]
pub use pointsman_domain::idempotency::Idempotency;

/// The answer to a publish.
///
/// ```
/// use pointsman::server::router::Recorded;
///
/// fn told(recorded: &Recorded) -> String {
///     let Recorded { event_ids, replayed } = recorded;
///     match replayed {
///         true => format!("{event_ids:?} were recorded before"),
///         false => format!("{event_ids:?} are durable"),
///     }
/// }
/// ```
#[doc(inline)]
pub use pointsman_domain::idempotency::Recorded;
