//! In which workspaces something is to be done, and when at the latest somebody has to look.
//!
//! The row of a workspace in `workspace_due` says: at this time at the latest, its actor has to be started. Whenever
//! anything is durable that somebody has to act on (an event beyond a cursor, a retry, a hold that ends, an uninstalled
//! installation that is not closed), the row is there, and its time is not later than that of the work.
//!
//! - Whatever makes work **marks** the workspace as due at once, in its own transaction. The writer remembers which
//!   workspaces it has marked, so that a workspace that is active costs nothing.
//! - A workspace **rests** when all of its work is done or has its time: its row gets the earliest of these times, or
//!   goes. Who decides that has asked the tables after a [`Moment`]. The writer refuses a rest where work was recorded
//!   after that moment, so that a rest never hides work that it did not know of. A mark that is left without need costs
//!   one look of the waker; a mark that is lost would cost a delivery.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use pointsman_domain::{id::WorkspaceId, timestamp::Timestamp};

/// A moment of the commit order. Of everything that was recorded before it, the router has been told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The present moment, which the writer moves on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Now(Arc<AtomicU64>);

impl Now {
    pub(crate) fn get(&self) -> Moment {
        Moment(self.0.load(Ordering::Acquire))
    }

    /// Everything that was recorded up to the moment has been told.
    pub(crate) fn set(&self, moment: Moment) {
        self.0.store(moment.0, Ordering::Release);
    }
}

/// A row of `workspace_due`. Rows are read in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DueRow {
    pub due_at: Timestamp,
    pub workspace_id: WorkspaceId,
}

impl DueRow {
    /// The time of a workspace in which there is something to do now.
    pub const AT_ONCE: Timestamp = Timestamp::from_millis(0);
}

/// A workspace in which nothing is to be done before `due_at`, or nothing at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rested {
    pub workspace_id: WorkspaceId,
    pub due_at: Option<Timestamp>,
}
