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

mod workspaces;

pub use self::workspaces::{ReadError, find_workspace};
pub use pointsman_clock::Clock;
pub use pointsman_domain::{
    attempt::{AttemptOutcome, AttemptResult, DeadLetterReason, Verdict},
    event::{Cause, NewEvent},
    event_key::EventKey,
    event_pattern::EventPattern,
    id::{DeadLetterId, EventId, InstallationId, SubscriptionId, WorkspaceId},
    idempotency::{Idempotency, Recorded},
    installation::{DeliveryType, Installation, InstallationChange, InstallationUpdate, NewInstallation},
    lane::{BreakerCause, BreakerState},
    seq::Seq,
    timestamp::Timestamp,
};
pub use pointsman_engine::EventRouter;
pub use pointsman_router::{ChangeError, LaneHealth, NotReady};

/// The error of [`EventRouter::publish`](pointsman_router::EventRouter::publish), for hosts. Handlers get
/// [`extension::PublishError`](crate::extension::PublishError).
#[doc(inline)]
pub use pointsman_router::PublishError;
