//! What the journal tells the router, in commit order.

use std::sync::Arc;

use pointsman_domain::{
    event::PlatformEvent,
    id::{InstallationId, WorkspaceId},
    installation::InstallationView,
    seq::Seq,
    timestamp::Timestamp,
};

#[derive(Clone, Debug)]
pub enum Notice {
    /// The head of the workspace is now the last of `events`.
    Committed {
        workspace_id: WorkspaceId,
        head: Seq,
        events: Vec<Arc<PlatformEvent>>,
    },
    /// An admin has changed the installation. It comes with everything that a cache needs.
    InstallationChanged(Box<InstallationView>),
    /// A replay was put into the retry table.
    RetriesAdded {
        workspace_id: WorkspaceId,
        installation_id: InstallationId,
        at: Timestamp,
    },
    /// The payload of the event was erased. This is what is left of it.
    EventErased(Arc<PlatformEvent>),
    /// The workspace was deleted. Nothing of it is to be delivered any more.
    WorkspaceDeleted(WorkspaceId),
    /// Workspaces rest, and the first of them has something to do at this time.
    DueBy(Timestamp),
    /// The writer connection was replaced. A change may have been committed without its notice.
    Reconnected,
}

/// Takes the journal's notices. It is called on the journal's own thread and must not block.
pub type NoticeSink = Box<dyn Fn(Notice) + Send>;
