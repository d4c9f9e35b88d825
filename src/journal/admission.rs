//! The bound of the journal's queue: how many publishes may wait for their commit.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// At most `limit` appends at a time, at most a quarter of them of one workspace.
#[derive(Debug)]
pub struct Admission {
    limit: usize,
    all: Arc<AtomicUsize>,
}

/// The part of one workspace.
#[derive(Clone, Debug, Default)]
pub struct WorkspaceAdmission(Arc<AtomicUsize>);

impl WorkspaceAdmission {
    /// Whether no permit of this workspace is out.
    pub fn is_idle(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}

/// The right to append; travels with the append and is released when the journal is done with it, also
/// where the publisher has gone meanwhile.
#[derive(Debug)]
pub struct Permit {
    all: Arc<AtomicUsize>,
    workspace: Arc<AtomicUsize>,
}

impl Admission {
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            all: Arc::default(),
        }
    }

    /// A permit, or none where the bound is reached.
    pub fn admit(&self, workspace: &WorkspaceAdmission) -> Option<Permit> {
        // The permit is made first: where it is too many, dropping it takes both counts back.
        let all = self.all.fetch_add(1, Ordering::AcqRel);
        let own = workspace.0.fetch_add(1, Ordering::AcqRel);
        let permit = Permit {
            all: Arc::clone(&self.all),
            workspace: Arc::clone(&workspace.0),
        };
        (all < self.limit && own < self.limit.div_ceil(4)).then_some(permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::AcqRel);
        self.workspace.fetch_sub(1, Ordering::AcqRel);
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
            permits.extend(admission.admit(workspace));
            permits.extend(admission.admit(workspace));
            assert!(
                admission.admit(workspace).is_none(),
                "a third of one workspace is too many"
            );
        }
        assert_eq!(permits.len(), 8);
        assert!(
            admission.admit(&workspaces[4]).is_none(),
            "a ninth in all is too many"
        );
        permits.pop();
        assert!(
            admission.admit(&workspaces[4]).is_some(),
            "a released permit can be had again"
        );
    }
}
