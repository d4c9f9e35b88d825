//! The head of each workspace's log, the marks of workspaces in which something is due, and the notices to the router.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use sea_orm::DbErr;
use tokio::time::timeout;

use super::{bounds::TRANSACTION_TIMEOUT, due_marks::DueMarks};
use crate::{
    batch::Batch,
    due::Now,
    effects::StagedEffect,
    notice::{Notice, NoticeSink},
    storage::Connection,
};
use pointsman_domain::{event::PlatformEvent, id::WorkspaceId, seq::Seq};

/// Heads kept in memory. When there are more, all are forgotten, and read again when they are needed.
const MAX_HEADS: usize = 100_000;

/// What the writer knows of the logs, and tells the router of them.
pub(super) struct WorkspaceLogs {
    /// Heads as committed. This process is the only writer, so that a head is read once per connection.
    heads: HashMap<WorkspaceId, Seq>,
    pub(super) due: DueMarks,
    notices: NoticeSink,
    /// Events recorded since the writer began.
    recorded: u64,
}

impl WorkspaceLogs {
    pub(super) fn new(notices: NoticeSink, now: Now) -> Self {
        Self {
            heads: HashMap::new(),
            due: DueMarks::new(now),
            notices,
            recorded: 0,
        }
    }

    /// Those of the workspaces whose heads are not in memory.
    pub(super) fn without_head(
        &self,
        workspaces: impl Iterator<Item = WorkspaceId>,
    ) -> BTreeSet<WorkspaceId> {
        workspaces
            .filter(|workspace| !self.heads.contains_key(workspace))
            .collect()
    }

    /// Reads the heads of these workspaces.
    pub(super) async fn read_heads(
        &mut self,
        connection: &dyn Connection,
        workspaces: BTreeSet<WorkspaceId>,
    ) -> Result<(), DbErr> {
        for workspace in workspaces {
            let head = timeout(TRANSACTION_TIMEOUT, connection.head(workspace))
                .await
                .map_err(|_| DbErr::Custom("reading a head took too long".to_owned()))??;
            self.heads.insert(workspace, head);
        }
        Ok(())
    }

    /// The heads of those of the workspaces that are in memory.
    pub(super) fn heads_of(
        &self,
        workspaces: impl Iterator<Item = WorkspaceId>,
    ) -> HashMap<WorkspaceId, Seq> {
        workspaces
            .filter_map(|workspace| Some((workspace, *self.heads.get(&workspace)?)))
            .collect()
    }

    /// Whether the transaction of the effect has to mark its workspace as due.
    pub(super) fn has_to_mark(&self, effect: &StagedEffect) -> bool {
        let workspace = [effect.command.workspace_id].into_iter();
        !effect.command.events.is_empty() && !self.due.without_mark(workspace).is_empty()
    }

    /// Gives the events of the batch their positions after the heads, which move at commit. Returns the heads after the
    /// commit.
    pub(super) fn stage(&self, batch: &mut Batch) -> HashMap<WorkspaceId, Seq> {
        batch.stage(&self.heads)
    }

    /// A transaction has moved these heads, or has found where they are.
    pub(super) fn moved_to(&mut self, heads: HashMap<WorkspaceId, Seq>) {
        if self.heads.len() + heads.len() > MAX_HEADS {
            self.heads.clear();
        }
        self.heads.extend(heads);
    }

    /// The workspace is deleted: forgets its head, and tells the router. What was known of it before is no rest.
    pub(super) fn deleted(&mut self, workspace: WorkspaceId) {
        self.heads.remove(&workspace);
        self.due.worked([workspace].into_iter());
        self.tell(Notice::WorkspaceDeleted(workspace));
    }

    /// Forgets heads and marks, and tells the router: another connection has begun.
    pub(super) fn reconnected(&mut self) {
        self.heads.clear();
        self.due.forget();
        self.tell(Notice::Reconnected);
        self.due.all_is_told();
    }

    /// Tells the router that the workspace's log ends at `head` now, with these events.
    pub(super) fn committed(
        &mut self,
        workspace_id: WorkspaceId,
        head: Seq,
        events: Vec<Arc<PlatformEvent>>,
    ) {
        self.recorded += events.len() as u64;
        self.tell(Notice::Committed {
            workspace_id,
            head,
            events,
        });
    }

    /// How many events were recorded since the writer began.
    pub(super) const fn recorded(&self) -> u64 {
        self.recorded
    }

    pub(super) fn tell(&mut self, notice: Notice) {
        (self.notices)(notice);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn heads(numbers: std::ops::Range<u128>) -> HashMap<WorkspaceId, Seq> {
        let workspace = |number| WorkspaceId::new(Uuid::from_u128(number));
        numbers.map(|number| (workspace(number), Seq::new(1))).collect()
    }

    fn known(logs: &WorkspaceLogs, numbers: std::ops::Range<u128>) -> usize {
        logs.heads_of(heads(numbers).into_keys()).len()
    }

    #[test]
    fn all_heads_are_forgotten_before_there_are_too_many() {
        let most = MAX_HEADS as u128;
        let mut logs = WorkspaceLogs::new(Box::new(|_| ()), Now::default());
        logs.moved_to(heads(0..most));
        assert_eq!(known(&logs, 0..most), MAX_HEADS);
        logs.moved_to(heads(most..most + 1));
        assert_eq!(known(&logs, 0..most + 1), 1, "only the last is known");
        logs.reconnected();
        assert_eq!(known(&logs, 0..most + 1), 0);
    }
}
