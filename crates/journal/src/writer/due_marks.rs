//! Which workspaces are marked as due, and which rests may be written.

use std::collections::{BTreeSet, HashMap};

use crate::due::{Moment, Now};
use pointsman_domain::id::WorkspaceId;

/// Workspaces kept in memory. When there are more, all are forgotten: they are marked again with their next work.
const MAX_WORKSPACES: usize = 100_000;

/// What the writer knows of `workspace_due`. It is right only as long as this process writes over one connection.
pub(super) struct DueMarks {
    workspaces: HashMap<WorkspaceId, Known>,
    /// Work may have been recorded before this moment of which `workspaces` says nothing.
    forgotten_before: Moment,
    now: Now,
    /// Work was recorded since the present moment.
    has_worked: bool,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    /// When its latest work was recorded.
    worked_at: Moment,
    is_marked: bool,
}

impl DueMarks {
    pub(super) fn new(now: Now) -> Self {
        Self {
            workspaces: HashMap::new(),
            forgotten_before: Moment::default(),
            now,
            has_worked: false,
        }
    }

    /// Those of the workspaces that are not known to be marked. The transaction that records work in them has to mark
    /// them.
    pub(super) fn without_mark(
        &self,
        workspaces: impl Iterator<Item = WorkspaceId>,
    ) -> BTreeSet<WorkspaceId> {
        workspaces
            .filter(|workspace| {
                let known = self.workspaces.get(workspace);
                known.is_none_or(|known| !known.is_marked)
            })
            .collect()
    }

    /// Work is recorded in these workspaces, which are marked. The router is told before [`DueMarks::all_is_told`].
    pub(super) fn worked(&mut self, workspaces: impl Iterator<Item = WorkspaceId>) {
        let worked = Known {
            worked_at: self.now.get().next(),
            is_marked: true,
        };
        for workspace in workspaces {
            self.make_room();
            self.workspaces.insert(workspace, worked);
            self.has_worked = true;
        }
    }

    /// The router has been told of all work that was recorded.
    pub(super) fn all_is_told(&mut self) {
        if std::mem::take(&mut self.has_worked) {
            self.now.set(self.now.get().next());
        }
    }

    /// Whether no work was recorded in the workspace after the moment.
    pub(super) fn is_known_at(&self, workspace: WorkspaceId, moment: Moment) -> bool {
        let worked_at = self.workspaces.get(&workspace).map(|known| known.worked_at);
        moment >= self.forgotten_before && worked_at.is_none_or(|worked_at| worked_at <= moment)
    }

    /// The rows of the workspaces say now that they rest.
    pub(super) fn rested(&mut self, workspaces: impl Iterator<Item = WorkspaceId>) {
        for workspace in workspaces {
            if let Some(known) = self.workspaces.get_mut(&workspace) {
                // When it last worked counts against rests that were decided before.
                known.is_marked = false;
            }
        }
    }

    /// Another connection has begun, and what the last one recorded is not known.
    pub(super) fn forget(&mut self) {
        self.workspaces.clear();
        self.forgotten_before = self.now.get().next();
        self.has_worked = true;
    }

    fn make_room(&mut self) {
        if self.workspaces.len() >= MAX_WORKSPACES {
            self.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn workspace(number: u128) -> WorkspaceId {
        WorkspaceId::new(Uuid::from_u128(number))
    }

    /// Work in the workspace, of which the router is told.
    fn work(marks: &mut DueMarks, number: u128) {
        marks.worked([workspace(number)].into_iter());
        marks.all_is_told();
    }

    fn is_marked(marks: &DueMarks, number: u128) -> bool {
        marks.without_mark([workspace(number)].into_iter()).is_empty()
    }

    #[test]
    fn a_workspace_is_marked_once_until_it_rests() {
        let mut marks = DueMarks::new(Now::default());
        assert!(!is_marked(&marks, 1));
        work(&mut marks, 1);
        work(&mut marks, 1);
        assert!(is_marked(&marks, 1));
        marks.rested([workspace(1)].into_iter());
        assert!(!is_marked(&marks, 1));
    }

    #[test]
    fn a_rest_that_was_decided_before_the_latest_work_is_refused_also_after_another_rest() {
        let now = Now::default();
        let mut marks = DueMarks::new(now.clone());
        work(&mut marks, 1);
        let before = now.get();
        assert!(marks.is_known_at(workspace(1), before));
        work(&mut marks, 1);
        assert!(!marks.is_known_at(workspace(1), before));
        assert!(marks.is_known_at(workspace(1), now.get()));
        marks.rested([workspace(1)].into_iter());
        assert!(!marks.is_known_at(workspace(1), before), "it is as old as before");
        assert!(
            marks.is_known_at(workspace(2), before),
            "nothing has happened there"
        );
    }

    #[test]
    fn work_of_which_the_router_is_not_told_yet_is_after_the_present_moment() {
        let now = Now::default();
        let mut marks = DueMarks::new(now.clone());
        marks.worked([workspace(1)].into_iter());
        assert!(!marks.is_known_at(workspace(1), now.get()));
        marks.all_is_told();
        assert!(marks.is_known_at(workspace(1), now.get()));
    }

    #[test]
    fn after_another_connection_has_begun_every_workspace_is_marked_again_and_no_former_rest_is_written() {
        let now = Now::default();
        let mut marks = DueMarks::new(now.clone());
        work(&mut marks, 1);
        let before = now.get();
        marks.forget();
        assert!(!is_marked(&marks, 1));
        assert!(!marks.is_known_at(workspace(1), before));
        assert!(!marks.is_known_at(workspace(2), now.get()));
        marks.all_is_told();
        assert!(marks.is_known_at(workspace(2), now.get()));
    }

    #[test]
    fn all_workspaces_are_forgotten_before_there_are_too_many() {
        let mut marks = DueMarks::new(Now::default());
        let most = MAX_WORKSPACES as u128;
        marks.worked((0..most).map(workspace));
        assert!(is_marked(&marks, 0));
        marks.worked([workspace(most)].into_iter());
        assert!(!is_marked(&marks, 0));
        assert!(is_marked(&marks, most));
    }
}
