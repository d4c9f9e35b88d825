//! Deletes installations that were uninstalled long ago.

use pointsman_domain::{id::InstallationId, timestamp::Timestamp};
use pointsman_journal::prune::Piece;
use uuid::Uuid;

use super::{
    planner::{Interrupted, Planner},
    state::RetentionPass,
};

/// Installations of one read.
const PAGE: i64 = 500;
/// Spans of one piece.
const SPANS: u64 = 500;

impl Planner {
    /// Deletes the installations that were uninstalled before `cutoff`, have nothing left to do, and are named by no
    /// letter and no event of the log: their spans, their cursor and themselves.
    pub(super) async fn prune_installations(
        &mut self,
        cutoff: Timestamp,
        report: &mut RetentionPass,
    ) -> Result<(), Interrupted> {
        let sql = "SELECT i.id, CASE WHEN i.closed AND i.uninstalled_at < {1} AND NOT EXISTS (SELECT 1 \
                   FROM dead_letter_event d WHERE d.installation_id = i.id) AND NOT EXISTS (SELECT 1 \
                   FROM platform_event e WHERE e.workspace_id = i.workspace_id AND e.seq > i.installed_seq \
                   AND e.seq <= i.uninstalled_seq) THEN 1 ELSE 0 END AS gone \
                   FROM (SELECT * FROM ext_installation WHERE id > {2} ORDER BY id LIMIT {3}) i ORDER BY i.id";
        let mut after = Uuid::nil();
        loop {
            let values = vec![cutoff.millis().into(), after.into(), PAGE.into()];
            let page = self.rows(sql, values).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.try_get("", "id")?;
            for row in &page {
                if row.try_get::<i32>("", "gone")? == 1 {
                    let id = InstallationId::new(row.try_get("", "id")?);
                    self.prune_installation(id, report).await?;
                }
            }
        }
    }

    async fn prune_installation(
        &mut self,
        id: InstallationId,
        report: &mut RetentionPass,
    ) -> Result<(), Interrupted> {
        while self.prune(Piece::Installation { id, limit: SPANS }).await?.rows == SPANS {}
        report.deleted.installations += 1;
        Ok(())
    }
}
