//! Deletes what is old beside the log: attempts, dead letters, ids of derived events, messages of the chat.

use pointsman_domain::{
    id::{DeadLetterId, EventId, InstallationId, WorkspaceId},
    timestamp::Timestamp,
};
use pointsman_journal::prune::{AttemptKey, LetterPosition, Piece};
use sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};
use uuid::Uuid;

use super::{
    delete::{DERIVED_IDS, IDEMPOTENCY_KEYS, Kind, SESSIONS},
    planner::{Interrupted, Planner},
    state::RetentionPass,
};
use crate::{
    idempotency::expired_since,
    sql::{numbered_statement, signed},
};

impl Planner {
    /// Deletes the attempts before `cutoff` of events before it. The history is kept by event, and the ids of events
    /// grow with the time.
    pub(super) async fn prune_attempts(
        &mut self,
        cutoff: Timestamp,
        report: &mut RetentionPass,
    ) -> Result<u64, Interrupted> {
        let before = report.deleted.attempts;
        let mut after = None;
        loop {
            let rows = self.pace.rows();
            let page = self.attempts(after, first_id_of(cutoff), rows).await?;
            let Some((last, _)) = page.last().copied() else {
                break;
            };
            if page.iter().any(|(_, made_at)| *made_at < cutoff) {
                let piece = Piece::Attempts {
                    after,
                    through: last,
                    made_before: cutoff,
                };
                report.deleted.attempts += self.prune(piece).await?.rows;
            }
            after = Some(last);
            if (page.len() as u64) < rows {
                break;
            }
        }
        Ok(report.deleted.attempts - before)
    }

    async fn attempts(
        &self,
        after: Option<AttemptKey>,
        before_event: Uuid,
        limit: u64,
    ) -> Result<Vec<(AttemptKey, Timestamp)>, DbErr> {
        let mut values: Vec<Value> = vec![before_event.into(), signed(limit).into()];
        let mut beyond = "";
        if let Some(key) = after {
            beyond = "AND (event_id, installation_id, id) > ({3}, {4}, {5})";
            values.extend([
                key.event.uuid().into(),
                key.installation.uuid().into(),
                key.id.into(),
            ]);
        }
        let sql = format!(
            "SELECT event_id, installation_id, id, attempted_at FROM ext_delivery_attempt WHERE event_id < {{1}} \
             {beyond} ORDER BY event_id, installation_id, id LIMIT {{2}}"
        );
        let rows = self.rows(&sql, values).await?;
        rows.iter()
            .map(|row| {
                let key = AttemptKey {
                    event: EventId::new(row.try_get("", "event_id")?),
                    installation: InstallationId::new(row.try_get("", "installation_id")?),
                    id: row.try_get("", "id")?,
                };
                Ok((key, Timestamp::from_millis(row.try_get("", "attempted_at")?)))
            })
            .collect()
    }

    /// Deletes the letters that failed before `cutoff` and are not being replayed.
    pub(super) async fn prune_dead_letters(
        &mut self,
        cutoff: Timestamp,
        report: &mut RetentionPass,
    ) -> Result<(), Interrupted> {
        let mut after = None;
        loop {
            let rows = self.pace.rows();
            let page = self.dead_letters(after, cutoff, rows).await?;
            let Some(through) = page.last().copied() else {
                break;
            };
            let piece = Piece::DeadLetters { after, through };
            report.deleted.dead_letters += self.prune(piece).await?.rows;
            after = Some(through);
            if (page.len() as u64) < rows {
                break;
            }
        }
        Ok(())
    }

    async fn dead_letters(
        &self,
        after: Option<LetterPosition>,
        cutoff: Timestamp,
        limit: u64,
    ) -> Result<Vec<LetterPosition>, DbErr> {
        let mut values: Vec<Value> = vec![cutoff.millis().into(), signed(limit).into()];
        let mut beyond = "";
        if let Some((failed_at, id)) = after {
            beyond = "AND (failed_at, id) > ({3}, {4})";
            values.extend([failed_at.millis().into(), id.uuid().into()]);
        }
        let sql = format!(
            "SELECT failed_at, id FROM dead_letter_event WHERE failed_at < {{1}} {beyond} \
             ORDER BY failed_at, id LIMIT {{2}}"
        );
        let rows = self.rows(&sql, values).await?;
        rows.iter()
            .map(|row| {
                let failed_at = Timestamp::from_millis(row.try_get("", "failed_at")?);
                Ok((failed_at, DeadLetterId::new(row.try_get("", "id")?)))
            })
            .collect()
    }

    /// Deletes the ids that keep publications of handlers single, once no letter is left by which the handler could be
    /// run again.
    pub(super) async fn prune_derived_ids(
        &mut self,
        cutoff: Timestamp,
        report: &mut RetentionPass,
    ) -> Result<(), Interrupted> {
        let piece = |limit| Piece::DerivedIds {
            published_before: cutoff,
            limit,
        };
        report.deleted.derived_ids += self.prune_kind(&DERIVED_IDS, cutoff, piece).await?;
        Ok(())
    }

    /// Deletes idempotency keys and sessions of browsers that have ended. Sessions follow the time of the day, as
    /// sign-ins do. Where that is set back, they last longer.
    pub(super) async fn prune_expired(&mut self) -> Result<(), Interrupted> {
        let used_by = expired_since(self.parts.clock.now());
        let keys = |limit| Piece::IdempotencyKeys { used_by, limit };
        self.prune_kind(&IDEMPOTENCY_KEYS, used_by, keys).await?;
        let ended_by = self.parts.clock.wall();
        let sessions = |limit| Piece::Sessions { ended_by, limit };
        self.prune_kind(&SESSIONS, ended_by, sessions).await?;
        Ok(())
    }

    /// Deletes the rows up to this time, the oldest first. Returns how many.
    async fn prune_kind(
        &mut self,
        kind: &Kind,
        through: Timestamp,
        piece: impl Fn(u64) -> Piece,
    ) -> Result<u64, Interrupted> {
        let sql = format!(
            "SELECT 1 AS one FROM {} WHERE {} <= {{1}} LIMIT 1",
            kind.table, kind.time
        );
        let mut all = 0;
        while !self.rows(&sql, vec![through.millis().into()]).await?.is_empty() {
            let deleted = self.prune(piece(self.pace.rows())).await?.rows;
            all += deleted;
            if deleted == 0 {
                break;
            }
        }
        Ok(all)
    }

    /// Deletes the messages that were written before `cutoff`, channel by channel.
    pub(super) async fn prune_chat_messages(
        &mut self,
        cutoff: Timestamp,
        report: &mut RetentionPass,
    ) -> Result<(), Interrupted> {
        let sql = "SELECT workspace_id, channel FROM chat_message WHERE (workspace_id, channel) > ({1}, {2}) \
                   ORDER BY workspace_id, channel LIMIT 1";
        let mut after = (Uuid::nil(), String::new());
        loop {
            let rows = self.rows(sql, vec![after.0.into(), after.1.into()]).await?;
            let Some(row) = rows.first() else { return Ok(()) };
            after = (row.try_get("", "workspace_id")?, row.try_get("", "channel")?);
            let workspace = WorkspaceId::new(after.0);
            self.prune_channel(workspace, &after.1, cutoff, report).await?;
        }
    }

    async fn prune_channel(
        &mut self,
        workspace: WorkspaceId,
        channel: &str,
        cutoff: Timestamp,
        report: &mut RetentionPass,
    ) -> Result<(), Interrupted> {
        let sql = "SELECT id, created_at FROM chat_message WHERE workspace_id = {1} AND channel = {2} \
                   ORDER BY id LIMIT {3}";
        loop {
            let rows = self.pace.rows();
            let values = vec![workspace.uuid().into(), channel.into(), signed(rows).into()];
            let page = self.rows(sql, values).await?;
            let (mut through, mut old) = (None, 0);
            for row in &page {
                if row.try_get::<i64>("", "created_at")? >= cutoff.millis() {
                    break;
                }
                through = Some(row.try_get("", "id")?);
                old += 1;
            }
            let Some(through) = through else { return Ok(()) };
            let piece = Piece::ChatMessages {
                workspace,
                channel: channel.to_owned(),
                through,
            };
            report.deleted.chat_messages += self.prune(piece).await?.rows;
            if old < rows {
                return Ok(());
            }
        }
    }

    /// The rows that the query finds over the planner's connection. Its placeholders are written `{1}`, `{2}` and so
    /// on.
    pub(super) async fn rows(&self, sql: &str, values: Vec<Value>) -> Result<Vec<QueryResult>, DbErr> {
        let reader = &self.parts.reader;
        reader
            .query_all_raw(numbered_statement(reader.get_database_backend(), sql, values))
            .await
    }
}

/// The lowest UUID v7 of this time: the ids of events before it are lower.
pub(super) fn first_id_of(time: Timestamp) -> Uuid {
    let millis = u128::try_from(time.millis()).unwrap_or(0);
    Uuid::from_u128(millis << 80)
}
