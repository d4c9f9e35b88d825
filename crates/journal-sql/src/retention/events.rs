//! Deletes old events, workspace by workspace, and the spans that no event is left for.

use pointsman_domain::{event_key::EventKey, id::WorkspaceId, seq::Seq, timestamp::Timestamp};
use pointsman_journal::prune::Piece;
use sea_orm::{ConnectionTrait, DbErr, Value};
use uuid::Uuid;

use super::{
    needs::Needs,
    planner::{Interrupted, Planner},
    state::{Held, RetentionPass},
};
use crate::{reader::Reader, sql::numbered_statement};

/// Spans of one piece.
const SPANS: i64 = 500;

/// What decides whether an event may go.
struct Heading {
    seq: Seq,
    key: EventKey,
    occurred_at: Timestamp,
}

/// The oldest event of a workspace.
pub(super) struct FirstEvent {
    pub(super) workspace: WorkspaceId,
    pub(super) occurred_at: Timestamp,
}

impl Planner {
    /// Deletes the events before `cutoff` that nobody needs. Returns how many.
    pub(super) async fn prune_events(
        &mut self,
        cutoff: Timestamp,
        report: &mut RetentionPass,
    ) -> Result<u64, Interrupted> {
        let before = report.deleted.events;
        let mut after = Uuid::nil();
        while let Some(first) = first_event_after(&self.parts.reader, after).await? {
            after = first.workspace.uuid();
            if first.occurred_at < cutoff {
                self.prune_log(first.workspace, cutoff, report).await?;
            }
        }
        Ok(report.deleted.events - before)
    }

    async fn prune_log(
        &mut self,
        workspace: WorkspaceId,
        cutoff: Timestamp,
        report: &mut RetentionPass,
    ) -> Result<(), Interrupted> {
        let needs = Needs::of(&self.parts.reader, workspace).await?;
        let (mut after, mut held) = (Seq::ZERO, None);
        loop {
            let rows = self.pace.rows();
            let page = headings(&self.parts.reader, workspace, after, rows).await?;
            let mut through = None;
            for heading in &page {
                if heading.occurred_at >= cutoff {
                    break;
                }
                held = needs.needed_by(heading.seq, &heading.key).map(|by| Held {
                    workspace,
                    installation: by.installation,
                    why: by.why,
                    oldest_at: heading.occurred_at,
                });
                if held.is_some() {
                    break;
                }
                through = Some(heading.seq);
            }
            let Some(through) = through else { break };
            let deleted = self.prune(Piece::Events { workspace, through }).await?;
            report.deleted.events += deleted.rows;
            after = through;
            let is_whole = page.last().is_some_and(|last| last.seq == through);
            if !is_whole || (page.len() as u64) < rows {
                break;
            }
        }
        report.held.extend(held);
        if after > Seq::ZERO {
            self.prune_spans(workspace, after, report).await?;
        }
        Ok(())
    }

    /// Deletes the spans that decide for no event after `pruned_through`.
    async fn prune_spans(
        &mut self,
        workspace: WorkspaceId,
        pruned_through: Seq,
        report: &mut RetentionPass,
    ) -> Result<(), Interrupted> {
        loop {
            let ids = ended_spans(&self.parts.reader, workspace, pruned_through).await?;
            if ids.is_empty() {
                return Ok(());
            }
            let deleted = self.prune(Piece::Spans { workspace, ids }).await?;
            report.deleted.spans += deleted.rows;
            if deleted.rows == 0 {
                return Ok(());
            }
        }
    }
}

/// The oldest event of the first workspace after this id that has one.
pub(super) async fn first_event_after(reader: &Reader, after: Uuid) -> Result<Option<FirstEvent>, DbErr> {
    let sql = "SELECT workspace_id, occurred_at FROM platform_event WHERE workspace_id > {1} \
               ORDER BY workspace_id, seq LIMIT 1";
    let statement = numbered_statement(reader.get_database_backend(), sql, vec![after.into()]);
    let Some(row) = reader.query_one_raw(statement).await? else {
        return Ok(None);
    };
    Ok(Some(FirstEvent {
        workspace: WorkspaceId::new(row.try_get("", "workspace_id")?),
        occurred_at: Timestamp::from_millis(row.try_get("", "occurred_at")?),
    }))
}

async fn headings(
    reader: &Reader,
    workspace: WorkspaceId,
    after: Seq,
    limit: u64,
) -> Result<Vec<Heading>, DbErr> {
    let sql = "SELECT seq, event_key, occurred_at FROM platform_event WHERE workspace_id = {1} AND seq > {2} \
               ORDER BY seq LIMIT {3}";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values: Vec<Value> = vec![workspace.uuid().into(), after.get().into(), limit.into()];
    let rows = reader
        .query_all_raw(numbered_statement(reader.get_database_backend(), sql, values))
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Heading {
                seq: Seq::new(row.try_get("", "seq")?),
                key: EventKey::from_stored(row.try_get("", "event_key")?),
                occurred_at: Timestamp::from_millis(row.try_get("", "occurred_at")?),
            })
        })
        .collect()
}

/// Spans that ended at or before the position, and decide for none after it: their subscription was ended for good, or
/// has a later span that begins there already.
async fn ended_spans(
    reader: &Reader,
    workspace: WorkspaceId,
    pruned_through: Seq,
) -> Result<Vec<Uuid>, DbErr> {
    let sql = "SELECT s.id FROM ext_event_subscription s WHERE s.workspace_id = {1} AND NOT s.is_current \
               AND s.until_seq <= {2} AND (s.closed_by <> 'DISABLED' OR EXISTS (SELECT 1 \
               FROM ext_event_subscription l WHERE l.workspace_id = s.workspace_id \
               AND l.subscription_id = s.subscription_id AND l.from_seq > s.from_seq AND l.from_seq <= {3})) \
               LIMIT {4}";
    let through = pruned_through.get();
    let values = vec![
        workspace.uuid().into(),
        through.into(),
        through.into(),
        SPANS.into(),
    ];
    let rows = reader
        .query_all_raw(numbered_statement(reader.get_database_backend(), sql, values))
        .await?;
    rows.iter().map(|row| row.try_get("", "id")).collect()
}
