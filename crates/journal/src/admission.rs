//! The bound of the journal's queue: how many publishes may wait for their commit, and how many bytes of them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Bytes of publishes that may wait for their commit, whatever their number.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Admits at most `limit` appends at a time, and 64 MiB of them. One workspace gets at most a quarter of either.
#[derive(Debug)]
pub struct Admission {
    limit: Amount,
    all: Arc<Queued>,
}

/// What is admitted of one workspace.
#[derive(Clone, Debug, Default)]
pub struct WorkspaceAdmission(Arc<Queued>);

impl WorkspaceAdmission {
    /// Whether no permit of this workspace is in use.
    pub fn is_idle(&self) -> bool {
        self.0.appends.load(Ordering::Acquire) == 0
    }
}

/// The right to append. It travels with the append and is released when the journal has dealt with it, also where the
/// publisher has gone meanwhile.
#[derive(Debug)]
pub struct Permit {
    all: Arc<Queued>,
    workspace: Arc<Queued>,
    bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Amount {
    appends: usize,
    bytes: usize,
}

/// The appends that wait at the moment.
#[derive(Debug, Default)]
struct Queued {
    appends: AtomicUsize,
    bytes: AtomicUsize,
}

impl Queued {
    /// Adds an append, and returns what waited before it.
    fn add(&self, bytes: usize) -> Amount {
        Amount {
            appends: self.appends.fetch_add(1, Ordering::AcqRel),
            bytes: self.bytes.fetch_add(bytes, Ordering::AcqRel),
        }
    }

    fn remove(&self, bytes: usize) {
        self.appends.fetch_sub(1, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}

impl Amount {
    /// Whether an append of `bytes` may join those that wait. The first one may, however large.
    fn has_room(self, before: Self, bytes: usize) -> bool {
        before.appends < self.appends
            && (before.bytes == 0 || before.bytes.saturating_add(bytes) <= self.bytes)
    }
}

impl Admission {
    pub fn new(limit: usize) -> Self {
        Self {
            limit: Amount {
                appends: limit,
                bytes: MAX_BYTES,
            },
            all: Arc::default(),
        }
    }

    /// A permit for an append of `bytes`; none where a bound is reached.
    pub fn admit(&self, workspace: &WorkspaceAdmission, bytes: usize) -> Option<Permit> {
        let quarter = Amount {
            appends: self.limit.appends.div_ceil(4),
            bytes: self.limit.bytes / 4,
        };
        // The append is counted first. Where it is too much, dropping the permit takes all counts back.
        let all = self.all.add(bytes);
        let own = workspace.0.add(bytes);
        let permit = Permit {
            all: Arc::clone(&self.all),
            workspace: Arc::clone(&workspace.0),
            bytes,
        };
        (self.limit.has_room(all, bytes) && quarter.has_room(own, bytes)).then_some(permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.all.remove(self.bytes);
        self.workspace.remove(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_workspace_gets_a_quarter_and_all_together_the_whole() {
        let admission = Admission::new(8);
        let workspaces: Vec<WorkspaceAdmission> = (0..5).map(|_| WorkspaceAdmission::default()).collect();
        let mut permits = Vec::new();
        for workspace in &workspaces[..4] {
            permits.extend(admission.admit(workspace, 1));
            permits.extend(admission.admit(workspace, 1));
            assert!(
                admission.admit(workspace, 1).is_none(),
                "a third of one workspace is too many"
            );
        }
        assert_eq!(permits.len(), 8);
        assert!(
            admission.admit(&workspaces[4], 1).is_none(),
            "a ninth in all is too many"
        );
        permits.pop();
        assert!(
            admission.admit(&workspaces[4], 1).is_some(),
            "a released permit can be had again"
        );
    }

    #[test]
    fn few_large_appends_count_as_many_small_ones() {
        let admission = Admission::new(1000);
        let workspaces: Vec<WorkspaceAdmission> = (0..5).map(|_| WorkspaceAdmission::default()).collect();
        let quarter = MAX_BYTES / 4;
        let mut permits = Vec::new();
        for workspace in &workspaces[..4] {
            permits.extend(admission.admit(workspace, quarter));
            assert!(
                admission.admit(workspace, 1).is_none(),
                "a quarter of the bytes is used up"
            );
        }
        assert_eq!(permits.len(), 4);
        assert!(
            admission.admit(&workspaces[4], 1).is_none(),
            "all bytes are used up"
        );
        permits.clear();
        let huge = admission.admit(&workspaces[4], MAX_BYTES * 2);
        assert!(huge.is_some(), "one append is let in however large it is");
    }
}
