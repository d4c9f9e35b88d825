//! Where nothing is deleted yet, the log says when that begins.

use pointsman_domain::{id::WorkspaceId, timestamp::Timestamp};
use sea_orm::{DbErr, Value};
use uuid::Uuid;

use super::{events::first_event_after, history::first_id_of, planner::Planner};

/// Rows that are counted of each kind.
const MOST_COUNTED: i64 = 100_000;

impl Planner {
    /// Where nothing is deleted yet, the log says when that begins, and what goes then.
    pub(super) async fn announce(&self) {
        let (now, from) = (self.parts.clock.now(), self.parts.state.from());
        if now >= from {
            return;
        }
        match self.count_old(from).await {
            Ok([events, attempts, dead_letters]) => log::warn!(
                from:% = from.to_rfc3339(), events, attempts, dead_letters;
                "what is older than its retention will be deleted from then on; change [retention] to keep it"
            ),
            Err(error) => log::warn!(from:% = from.to_rfc3339(), error:%;
                "what is older than its retention will be deleted from then on; it cannot be counted"),
        }
    }

    /// Old events, attempts and letters, each at most [`MOST_COUNTED`].
    async fn count_old(&self, from: Timestamp) -> Result<[i64; 3], DbErr> {
        let cutoffs = self.cutoffs(from);
        let counted = |rows: &str| {
            format!("SELECT COUNT(*) AS found FROM (SELECT 1 FROM {rows} < {{1}} LIMIT {{2}}) t")
        };
        let letters = counted("dead_letter_event WHERE failed_at");
        let attempts = counted("ext_delivery_attempt WHERE event_id");
        let mut events = 0;
        let mut after = Uuid::nil();
        while let Some(first) = first_event_after(&self.parts.reader, after).await? {
            after = first.workspace.uuid();
            if first.occurred_at < cutoffs.events {
                events += self.count_events(first.workspace, cutoffs.events).await?;
            }
            if events >= MOST_COUNTED {
                break;
            }
        }
        Ok([
            events.min(MOST_COUNTED),
            self.count(&attempts, first_id_of(cutoffs.attempts).into())
                .await?,
            self.count(&letters, cutoffs.dead_letters.millis().into()).await?,
        ])
    }

    async fn count(&self, sql: &str, before: Value) -> Result<i64, DbErr> {
        let rows = self.rows(sql, vec![before, MOST_COUNTED.into()]).await?;
        rows.first().map_or(Ok(0), |row| row.try_get("", "found"))
    }

    async fn count_events(&self, workspace: WorkspaceId, cutoff: Timestamp) -> Result<i64, DbErr> {
        let sql = "SELECT COUNT(*) AS found FROM (SELECT occurred_at FROM platform_event WHERE workspace_id = {1} \
                   ORDER BY seq LIMIT {2}) t WHERE occurred_at < {3}";
        let values = vec![
            workspace.uuid().into(),
            MOST_COUNTED.into(),
            cutoff.millis().into(),
        ];
        let rows = self.rows(sql, values).await?;
        rows.first().map_or(Ok(0), |row| row.try_get("", "found"))
    }
}
