//! Changes beside the events and their settlements, as the journal is asked for them.

use tokio::sync::oneshot;

use super::errors::ChangeError;
use pointsman_domain::{
    id::{DeadLetterId, InstallationId, WorkspaceId},
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
        /// Another installation of the same extension; none for the one that failed it.
        to: Option<InstallationId>,
        now: Timestamp,
    },
    /// Sets the letter `DISCARDED`.
    Discard {
        workspace: WorkspaceId,
        letter: DeadLetterId,
    },
    /// Marks an uninstalled installation as done with: no start looks at it again.
    Close { installation: InstallationId },
}

/// Where a change is answered.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, ChangeError>>;
