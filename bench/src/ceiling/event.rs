//! The events of the ceiling.

use tokio::sync::oneshot;
use uuid::Uuid;

/// An event that was published.
pub(super) struct Event {
    pub(super) id: Uuid,
    pub(super) workspace: Uuid,
    pub(super) key: String,
    pub(super) schema_version: Option<String>,
    pub(super) actor: Option<String>,
    pub(super) payload: String,
    pub(super) occurred_at: i64,
}

/// An event that is not committed yet, and whose publisher waits for the acknowledgement.
pub(super) struct PendingPublish {
    pub(super) event: Event,
    pub(super) acknowledge: oneshot::Sender<()>,
}
