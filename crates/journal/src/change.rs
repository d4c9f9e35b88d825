//! The changes that the journal is asked to make, besides events and settlements.

use tokio::sync::oneshot;

use super::errors::ChangeError;
use pointsman_domain::{
    id::{DeadLetterId, EventId, InstallationId, UserId, WorkspaceId},
    installation::{InstallationChange, NewInstallation},
    timestamp::Timestamp,
};

/// An admin's change of an installation.
#[derive(Clone, Debug)]
pub enum InstallationWork {
    Install(NewInstallation),
    Change(InstallationId, InstallationChange),
}

/// A change that the router makes.
#[derive(Clone, Debug)]
pub enum Change {
    /// Sets the letter `REPLAYING` and inserts its retry row, so that a restart resumes the replay.
    StartReplay {
        workspace: WorkspaceId,
        letter: DeadLetterId,
        /// Another installation of the same extension that is to get the event; none for the one that failed it.
        to: Option<InstallationId>,
        now: Timestamp,
    },
    /// Sets the letter `DISCARDED`.
    Discard {
        workspace: WorkspaceId,
        letter: DeadLetterId,
    },
    /// Marks an uninstalled installation as closed: no later start looks at it.
    Close { installation: InstallationId },
    /// Erases the payload and the actor of the event in the log. What else holds something of it is erased afterwards,
    /// in pieces: a row of `event_erasure` that is written with the change says so.
    Erase {
        workspace: WorkspaceId,
        event: EventId,
        /// The admin who wanted it.
        by: UserId,
        now: Timestamp,
    },
    /// Everything that held something of the event is erased.
    EndErasure { workspace: WorkspaceId, event: EventId },
    /// Deletes the workspace. From the commit on it is unknown, and nothing is written there any more. Its rows are
    /// deleted afterwards, in pieces: a mark that is written with the change says so.
    DeleteWorkspace {
        workspace: WorkspaceId,
        /// The admin who wanted it.
        by: UserId,
        now: Timestamp,
    },
}

impl Change {
    /// The workspace in which the change makes work.
    pub const fn workspace_with_work(&self) -> Option<WorkspaceId> {
        match self {
            Self::StartReplay { workspace, .. } => Some(*workspace),
            Self::Discard { .. }
            | Self::Close { .. }
            | Self::Erase { .. }
            | Self::EndErasure { .. }
            | Self::DeleteWorkspace { .. } => None,
        }
    }

    /// The workspace that has to be there; none where the change is about an installation alone.
    pub(crate) const fn workspace(&self) -> Option<WorkspaceId> {
        match self {
            Self::StartReplay { workspace, .. }
            | Self::Discard { workspace, .. }
            | Self::Erase { workspace, .. }
            | Self::EndErasure { workspace, .. }
            | Self::DeleteWorkspace { workspace, .. } => Some(*workspace),
            Self::Close { .. } => None,
        }
    }
}

/// Takes the answer to a change.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, ChangeError>>;
