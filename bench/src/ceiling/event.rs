//! What goes through the ceiling.

use tokio::sync::oneshot;
use uuid::Uuid;

/// An event on its way.
pub(super) struct Event {
    pub(super) id: Uuid,
    pub(super) workspace: Uuid,
    pub(super) key: String,
    pub(super) schema_version: Option<String>,
    pub(super) actor: Option<String>,
    pub(super) payload: String,
    pub(super) occurred_at: i64,
}

/// An event that its publisher waits for.
pub(super) struct Waiting {
    pub(super) event: Event,
    pub(super) acknowledge: oneshot::Sender<()>,
}
