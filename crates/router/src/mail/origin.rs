//! What a WorkspaceActor gives to a delivery actor that it starts.

use pointsman_domain::lane::Suspicion;
use tokio::sync::watch;

use super::workspace::WorkspaceAddress;
use crate::incarnation::Incarnation;

/// The origin of a delivery actor.
pub(crate) struct Origin {
    pub(crate) incarnation: Incarnation,
    pub(crate) parent: WorkspaceAddress,
    /// Ends with the parent.
    pub(crate) liveness: watch::Receiver<()>,
    /// The events that may have made a predecessor panic.
    pub(crate) suspicion: Suspicion,
}
