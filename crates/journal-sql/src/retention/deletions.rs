//! Workspaces that an admin has deleted, and how far their rows are.

use std::sync::atomic::{AtomicBool, Ordering};

use pointsman_domain::id::WorkspaceId;
use pointsman_journal::prune::AttemptKey;
use tokio::sync::Notify;
use uuid::Uuid;

/// Says that there may be workspaces whose rows are to be deleted.
#[derive(Debug)]
pub(crate) struct Deletions {
    pub(super) are_wanted: AtomicBool,
    pub(super) wanted: Notify,
}

/// A start looks for those that an earlier one has left.
impl Default for Deletions {
    fn default() -> Self {
        Self {
            are_wanted: AtomicBool::new(true),
            wanted: Notify::new(),
        }
    }
}

impl Deletions {
    pub(crate) fn want(&self) {
        self.are_wanted.store(true, Ordering::SeqCst);
        self.wanted.notify_one();
    }
}

/// A workspace whose rows are being deleted.
#[derive(Debug)]
pub(super) struct Deleting {
    pub(super) workspace: WorkspaceId,
    pub(super) rows: u64,
    pub(super) attempts: Option<AttemptsOfPruned>,
}

/// Attempts are found by their events. Those of events that are gone from the log are looked for among the attempts of
/// all workspaces, from the time at which the workspace was made to its oldest event.
#[derive(Clone, Copy, Debug)]
pub(super) struct AttemptsOfPruned {
    pub(super) after: Option<AttemptKey>,
    pub(super) from: Uuid,
    pub(super) until: Option<Uuid>,
}
