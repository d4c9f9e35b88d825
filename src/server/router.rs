//! The router behind a server, for a host that publishes without HTTP.
//!
//! [`EventRouter`] is what [`Server::router`](super::Server::router) and
//! [`RouterBuilder::start`](super::RouterBuilder::start) give. [`find_workspace`] finds the id of a workspace. The
//! other items are what the methods of the router take and return, and what those hold.
//!
//! ```
//! use std::time::Duration;
//!
//! use pointsman::{
//!     config::Config,
//!     server::{
//!         RouterBuilder,
//!         router::{Clock, EventId, EventKey, NewEvent, WorkspaceId},
//!     },
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = std::env::temp_dir().join(format!("pointsman-doc-router-{}", std::process::id()));
//! # let file = format!("[server]\nport = 0\n[database]\nurl = \"sqlite://{}/test.db\"", folder.display());
//! let config = Config::from_sources(Some(&file), [])?;
//! # actix_web::rt::System::new().block_on(async {
//! let router = RouterBuilder::new(config).start().await?;
//! let workspace = WorkspaceId::new(Clock.new_uuid());
//! let event = NewEvent {
//!     id: EventId::new(Clock.new_uuid()),
//!     event_key: EventKey::parse("crm.deal.closed")?,
//!     schema_version: None,
//!     actor: None,
//!     payload: r#"{"amount":"5000.00"}"#.into(),
//!     occurred_at: Clock.now(),
//!     traceparent: None,
//!     cause: None,
//! };
//! let recorded = router.publish(workspace, event, None).await?; // returns when the event is durable
//! assert_eq!(recorded.event_ids.len(), 1);
//! router.stop(Duration::from_secs(30)).await;
//! # std::fs::remove_dir_all(folder)?;
//! # Ok(())
//! # })
//! # }
//! ```

mod asking;
mod installing;
mod publishing;
mod workspaces;

pub use self::{
    asking::{
        AttemptOutcome, AttemptResult, BreakerCause, BreakerState, ChangeError, Clock, EventRouter,
        LaneHealth, NotReady, Verdict,
    },
    installing::{
        DeliveryType, EventPattern, Installation, InstallationChange, InstallationUpdate, NewInstallation,
        SubscriptionId,
    },
    publishing::{Cause, Idempotency, NewEvent, Recorded},
    workspaces::{ReadError, find_workspace},
};
pub use crate::{
    extension::{EventId, EventKey, InstallationId, Seq, Timestamp, WorkspaceId},
    testing::{DeadLetterId, DeadLetterReason},
};

/// The error of [`EventRouter::publish`](pointsman_router::EventRouter::publish), for hosts. Handlers get
/// [`extension::PublishError`](crate::extension::PublishError).
///
/// ```
/// use pointsman::server::router::PublishError;
///
/// fn told(error: &PublishError) -> String {
///     format!("not recorded: {error}")
/// }
/// ```
#[doc(inline)]
pub use pointsman_router::PublishError;
