//! When something is to be done in a workspace: what the rows say, and what there is.

use std::{collections::BTreeMap, time::Duration};

use super::{Installed, Tables};
use pointsman_domain::{id::WorkspaceId, timestamp::Timestamp};
use pointsman_journal::{DueRow, Rested};

impl Tables {
    /// There is something to do in these workspaces from now on.
    pub(crate) fn mark_due(&mut self, workspaces: impl IntoIterator<Item = WorkspaceId>) {
        self.due.extend(
            workspaces
                .into_iter()
                .map(|workspace| (workspace, DueRow::AT_ONCE)),
        );
    }

    pub(crate) fn rest(&mut self, rests: &[Rested]) {
        for rest in rests {
            match rest.due_at {
                Some(due_at) => drop(self.due.insert(rest.workspace_id, due_at)),
                None => drop(self.due.remove(&rest.workspace_id)),
            }
        }
    }

    pub(crate) fn due_page(&self, after: DueRow, by: Timestamp, limit: usize) -> Vec<DueRow> {
        let mut rows: Vec<DueRow> = self
            .due
            .iter()
            .map(|(workspace_id, due_at)| DueRow {
                due_at: *due_at,
                workspace_id: *workspace_id,
            })
            .filter(|row| *row > after && row.due_at <= by)
            .collect();
        rows.sort_unstable();
        rows.truncate(limit);
        rows
    }

    pub(crate) fn earliest_due_after(&self, after: Timestamp) -> Option<Timestamp> {
        self.due.values().copied().filter(|at| *at > after).min()
    }

    /// Of each workspace in which there is something to do, when the first of it is to be done.
    pub(crate) fn next_work(&self, max_hold: Duration) -> BTreeMap<WorkspaceId, Timestamp> {
        let mut found: BTreeMap<WorkspaceId, Timestamp> = BTreeMap::new();
        for installed in self.installations.values() {
            if let Some(at) = self.next_work_of(installed, max_hold) {
                let first = found.entry(installed.workspace()).or_insert(at);
                *first = at.min(*first);
            }
        }
        found
    }

    fn next_work_of(&self, installed: &Installed, max_hold: Duration) -> Option<Timestamp> {
        if installed.row.closed {
            return None;
        }
        if installed.row.uninstalled_at.is_some() {
            return Some(DueRow::AT_ONCE);
        }
        let head = self.head(installed.workspace());
        let is_behind = !self.due(installed, installed.cursor, head).is_empty();
        let retry = self
            .rows_of(installed.id())
            .map(|(_, row)| row.next_attempt_at)
            .min();
        match installed.row.held_since {
            Some(since) => (is_behind || retry.is_some()).then(|| since + max_hold),
            None if is_behind => Some(DueRow::AT_ONCE),
            None => retry,
        }
    }

    /// A workspace in which something is to be done before its row says so.
    pub(crate) fn missed(&self, now: Timestamp, max_hold: Duration) -> Option<WorkspaceId> {
        let is_missed = |(workspace, work_at): &(WorkspaceId, Timestamp)| {
            let due_at = self.due.get(workspace);
            due_at.is_none_or(|due_at| due_at > work_at.max(&now))
        };
        let next_work = self.next_work(max_hold);
        next_work
            .into_iter()
            .find(is_missed)
            .map(|(workspace, _)| workspace)
    }
}
