//! Where a delivery actor comes from.

use pointsman_domain::lane::Suspicion;
use tokio::sync::watch;

use super::workspace::WorkspaceAddress;
use crate::incarnation::Incarnation;

/// Where an actor comes from.
pub(crate) struct Origin {
    pub(crate) incarnation: Incarnation,
    pub(crate) parent: WorkspaceAddress,
    /// Ends with the parent.
    pub(crate) liveness: watch::Receiver<()>,
    /// What a predecessor that panicked left.
    pub(crate) suspicion: Suspicion,
}
