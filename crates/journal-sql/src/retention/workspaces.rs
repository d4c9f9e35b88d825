//! Deletes the rows of workspaces that an admin has deleted.
//!
//! Nothing is remembered of how far that has come: each piece deletes rows that are there. The mark goes with the last
//! of them.

use std::{sync::atomic::Ordering, time::Duration};

use pointsman_domain::{
    id::{EventId, InstallationId, WorkspaceId},
    timestamp::Timestamp,
};
use pointsman_journal::{
    erasing::erase_the_rest,
    prune::{AttemptKey, Piece},
};
use sea_orm::DbErr;
use uuid::Uuid;

use super::{
    deletions::{AttemptsOfPruned, Deleting},
    history::first_id_of,
    planner::{Interrupted, Planner},
};
use crate::{erasure, workspace_deletion};

/// Positions follow the ids of events nearly: publishers wait for their commit, and the clock may be set. In
/// milliseconds.
const SLACK: i64 = 60 * 60 * 1000;

/// The lowest id of the time at which this one was made, and so many milliseconds.
fn moved(id: Uuid, millis: i64) -> Uuid {
    let made_at = i64::try_from(id.as_u128() >> 80).unwrap_or(i64::MAX);
    first_id_of(Timestamp::from_millis(made_at.saturating_add(millis)))
}

impl Planner {
    /// Deletes what is left of deleted workspaces for so long, and waits for more.
    pub(super) async fn delete_workspaces(&mut self, time: Duration) -> Result<(), Interrupted> {
        let clock = self.parts.clock;
        let end = clock.instant() + time;
        while clock.instant() < end {
            if self.delete_some().await? {
                continue;
            }
            let deletions = std::sync::Arc::clone(&self.parts.deletions);
            tokio::select! {
                // The sender sends nothing: a change is its end.
                _ = self.stopped.changed() => return Err(Interrupted::Stopped),
                () = deletions.wanted.notified() => {}
                () = tokio::time::sleep_until(end.into()) => {}
            }
        }
        Ok(())
    }

    /// Ends the erasures that a former start has left.
    pub(super) async fn end_erasures(&self) -> Result<(), Interrupted> {
        for (workspace, event) in erasure::unfinished(&self.parts.reader).await? {
            erase_the_rest(&self.parts.pruner, workspace, event).await?;
        }
        Ok(())
    }

    /// Deletes one piece of a workspace that is deleted. False where there is none.
    pub(super) async fn delete_some(&mut self) -> Result<bool, Interrupted> {
        let Some(mut deleting) = self.next_deletion().await? else {
            return Ok(false);
        };
        // Forgotten where a piece fails, and found again by its mark.
        self.parts.deletions.are_wanted.store(true, Ordering::SeqCst);
        if let Some(attempts) = deleting.attempts {
            let (rows, rest) = self.delete_attempts(deleting.workspace, attempts).await?;
            deleting.rows += rows;
            deleting.attempts = rest;
            self.deleting = Some(deleting);
            return Ok(true);
        }
        let workspace = deleting.workspace;
        let limit = self.pace.rows();
        let deleted = self.prune_now(Piece::Workspace { workspace, limit }).await?.rows;
        deleting.rows += deleted;
        if deleted == 0 && !self.is_marked(workspace).await? {
            log::info!(workspace:%, rows = deleting.rows; "everything of a deleted workspace is gone");
            self.parts.state.workspace_is_gone();
        } else {
            self.deleting = Some(deleting);
        }
        Ok(true)
    }

    async fn next_deletion(&mut self) -> Result<Option<Deleting>, Interrupted> {
        if let Some(deleting) = self.deleting.take() {
            return Ok(Some(deleting));
        }
        if !self.parts.deletions.are_wanted.swap(false, Ordering::SeqCst) {
            return Ok(None);
        }
        let next = self.find_deletion().await;
        if next.is_err() {
            self.parts.deletions.are_wanted.store(true, Ordering::SeqCst);
        }
        Ok(next?)
    }

    async fn find_deletion(&self) -> Result<Option<Deleting>, DbErr> {
        let unfinished = workspace_deletion::unfinished(&self.parts.reader).await?;
        let Some(workspace) = unfinished.first().copied() else {
            return Ok(None);
        };
        let sql = "SELECT (SELECT e.id FROM platform_event e WHERE e.workspace_id = l.workspace_id \
                   ORDER BY e.seq LIMIT 1) AS until FROM workspace_log l WHERE l.workspace_id = {1}";
        let pruned = self.rows(sql, vec![workspace.uuid().into()]).await?;
        let attempts = match pruned.first() {
            None => None,
            Some(row) => Some(AttemptsOfPruned {
                after: None,
                // Ids begin with the time.
                from: moved(workspace.uuid(), -SLACK),
                until: row
                    .try_get::<Option<Uuid>>("", "until")?
                    .map(|id| moved(id, SLACK)),
            }),
        };
        Ok(Some(Deleting {
            workspace,
            rows: 0,
            attempts,
        }))
    }

    async fn is_marked(&self, workspace: WorkspaceId) -> Result<bool, DbErr> {
        let sql = "SELECT 1 AS one FROM workspace_deletion WHERE workspace_id = {1}";
        Ok(!self.rows(sql, vec![workspace.uuid().into()]).await?.is_empty())
    }

    /// Deletes those of the next attempts that are of the workspace. Returns how many, and where to go on.
    async fn delete_attempts(
        &mut self,
        workspace: WorkspaceId,
        attempts: AttemptsOfPruned,
    ) -> Result<(u64, Option<AttemptsOfPruned>), Interrupted> {
        let limit = self.pace.rows();
        let page = self.page_of_attempts(attempts, limit).await?;
        let Some(&(through, _)) = page.last() else {
            return Ok((0, None));
        };
        let mut rows = 0;
        if page.iter().any(|(_, of)| *of == workspace.uuid()) {
            let piece = Piece::AttemptsOfWorkspace {
                workspace,
                after: attempts.after,
                through,
            };
            rows = self.prune_now(piece).await?.rows;
        }
        let is_last = (page.len() as u64) < limit;
        let rest = AttemptsOfPruned {
            after: Some(through),
            ..attempts
        };
        Ok((rows, (!is_last).then_some(rest)))
    }

    async fn page_of_attempts(
        &self,
        attempts: AttemptsOfPruned,
        limit: u64,
    ) -> Result<Vec<(AttemptKey, Uuid)>, DbErr> {
        let from = attempts.after.map_or(attempts.from, |key| key.event.uuid());
        let installation = attempts.after.map_or(Uuid::nil(), |key| key.installation.uuid());
        let id = attempts.after.map_or(Uuid::nil(), |key| key.id);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let until = attempts.until.unwrap_or(Uuid::max());
        let sql = "SELECT event_id, installation_id, id, workspace_id FROM ext_delivery_attempt \
                   WHERE (event_id, installation_id, id) > ({1}, {2}, {3}) AND event_id < {4} \
                   ORDER BY event_id, installation_id, id LIMIT {5}";
        let values = vec![
            from.into(),
            installation.into(),
            id.into(),
            until.into(),
            limit.into(),
        ];
        let rows = self.rows(sql, values).await?;
        rows.iter()
            .map(|row| {
                let key = AttemptKey {
                    event: EventId::new(row.try_get("", "event_id")?),
                    installation: InstallationId::new(row.try_get("", "installation_id")?),
                    id: row.try_get("", "id")?,
                };
                Ok((key, row.try_get("", "workspace_id")?))
            })
            .collect()
    }
}
