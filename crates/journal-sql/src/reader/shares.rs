//! How many reads each workspace executes at a time.

use std::sync::Arc;

use dashmap::DashMap;
use pointsman_domain::id::WorkspaceId;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The shares that are in use; an unused one takes no memory.
#[derive(Clone, Debug)]
pub(super) struct Shares(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Reads that a workspace executes at a time.
    limit: usize,
    in_use: DashMap<WorkspaceId, Arc<Semaphore>>,
}

/// The right of a workspace to some of the connections.
#[derive(Clone, Debug)]
pub(super) struct Share(Arc<Held>);

#[derive(Debug)]
struct Held {
    workspace: WorkspaceId,
    permits: Arc<Semaphore>,
    shares: Shares,
}

impl Shares {
    pub(super) fn new(limit: u32) -> Self {
        Self(Arc::new(Inner {
            limit: usize::try_from(limit)
                .unwrap_or(usize::MAX)
                .clamp(1, Semaphore::MAX_PERMITS),
            in_use: DashMap::new(),
        }))
    }

    pub(super) fn of(&self, workspace: WorkspaceId) -> Share {
        let entry = self.0.in_use.entry(workspace);
        let permits = Arc::clone(&entry.or_insert_with(|| Arc::new(Semaphore::new(self.0.limit))));
        Share(Arc::new(Held {
            workspace,
            permits,
            shares: self.clone(),
        }))
    }
}

impl Share {
    /// Waits in order where the workspace executes as many reads as it may.
    pub(super) async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.0.permits.acquire().await.ok()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Two: the map's and this one. A new share is taken from the map under the same lock.
        let is_last = |_: &WorkspaceId, permits: &Arc<Semaphore>| Arc::strong_count(permits) <= 2;
        self.shares.0.in_use.remove_if(&self.workspace, is_last);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use uuid::Uuid;

    use super::*;

    fn workspace(number: u128) -> WorkspaceId {
        WorkspaceId::new(Uuid::from_u128(number))
    }

    #[test]
    fn a_workspace_that_uses_its_share_leaves_that_of_others() {
        let shares = Shares::new(2);
        let (first, second) = (shares.of(workspace(1)), shares.of(workspace(1)));
        let _one = first.permit().now_or_never().unwrap();
        let two = second.permit().now_or_never().unwrap();
        assert!(first.permit().now_or_never().is_none());
        let other = shares.of(workspace(2));
        assert!(other.permit().now_or_never().is_some());
        drop(two);
        assert!(first.permit().now_or_never().is_some());
    }

    #[test]
    fn a_share_that_nobody_uses_takes_no_memory() {
        let shares = Shares::new(2);
        let (first, second) = (shares.of(workspace(1)), shares.of(workspace(1)));
        drop(first);
        assert_eq!(shares.0.in_use.len(), 1);
        drop(second);
        assert!(shares.0.in_use.is_empty());
    }
}
