//! The values that events and handlers are about.

/// The key of an event.
///
/// ```
/// use pointsman::extension::EventKey;
///
/// let key = EventKey::parse("crm.deal.closed").expect("it has the form of a key");
/// assert_eq!(key.as_str(), "crm.deal.closed");
/// assert!(EventKey::parse("crm.*").is_err(), "that is a pattern");
/// ```
#[doc(inline)]
pub use pointsman_domain::event_key::EventKey;

/// The id of an event.
///
/// ```
/// use pointsman::extension::{EventId, PlatformEvent};
///
/// /// Where a handler keeps what it has made of the event, so that a second attempt finds it.
/// fn file_of(event: &PlatformEvent) -> String {
///     let id: EventId = event.id;
///     format!("receipts/{id}.pdf")
/// }
/// ```
#[doc(inline)]
pub use pointsman_domain::id::EventId;

/// The id of an installation.
///
/// ```
/// use std::collections::HashMap;
///
/// use pointsman::extension::InstallationId;
///
/// /// What an extension keeps of each of its installations.
/// #[derive(Default)]
/// struct Totals(HashMap<InstallationId, u64>);
///
/// impl Totals {
///     fn add(&mut self, installation: InstallationId, amount: u64) {
///         *self.0.entry(installation).or_default() += amount;
///     }
/// }
/// ```
#[doc(inline)]
pub use pointsman_domain::id::InstallationId;

/// The id of a workspace.
///
/// ```
/// use pointsman::extension::{PlatformEvent, WorkspaceId};
///
/// fn is_of(event: &PlatformEvent, workspace: WorkspaceId) -> bool {
///     event.workspace_id == workspace
/// }
/// ```
#[doc(inline)]
pub use pointsman_domain::id::WorkspaceId;

/// The position of an event.
///
/// ```
/// use pointsman::extension::Seq;
///
/// let first = Seq::ZERO.next();
/// assert_eq!(first.get(), 1);
/// assert!(first < Seq::new(2), "an event with a higher position was recorded later");
/// ```
#[doc(inline)]
pub use pointsman_domain::seq::Seq;

/// A point in time.
///
/// ```
/// use std::time::Duration;
///
/// use pointsman::extension::Timestamp;
///
/// let published = Timestamp::parse_rfc3339("2026-01-31T13:00:00+01:00")?;
/// assert_eq!(published.to_rfc3339(), "2026-01-31T12:00:00.000Z");
/// let due = published + Duration::from_secs(90);
/// assert_eq!(due.since(published), Duration::from_secs(90));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(inline)]
pub use pointsman_domain::timestamp::Timestamp;
