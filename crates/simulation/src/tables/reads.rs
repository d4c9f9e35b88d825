//! What the engine reads of the tables.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use sea_orm::DbErr;

use super::{Installed, Retry, Tables};
use pointsman_domain::{
    attempt::DeliveryKind,
    handler_name::HandlerName,
    id::{EventId, InstallationId, WorkspaceId},
    installation::InstallationView,
    lane::{Attachment, DeliveryKey, RetryRow},
    seq::Seq,
    timestamp::Timestamp,
};
use pointsman_journal::storage::{DueRetries, KeyName, StoredKey};

impl Tables {
    pub(crate) fn positions_of(&self, ids: &[EventId]) -> std::collections::HashMap<EventId, Seq> {
        ids.iter()
            .filter_map(|id| Some((*id, self.positions.get(id)?.1)))
            .collect()
    }

    pub(crate) fn stored_keys(
        &self,
        names: &[KeyName],
        now: Timestamp,
    ) -> std::collections::HashMap<KeyName, StoredKey> {
        const LIFETIME: Duration = Duration::from_secs(24 * 3600);
        names
            .iter()
            .filter_map(|name| Some((name, self.keys.get(name)?)))
            .filter(|(_, (_, created_at))| *created_at + LIFETIME > now)
            .map(|(name, (stored, _))| (name.clone(), stored.clone()))
            .collect()
    }

    pub(crate) fn attachment(&self, id: InstallationId) -> Result<Attachment, DbErr> {
        let installed = self
            .installations
            .get(&id)
            .ok_or_else(|| DbErr::RecordNotFound("cursor".to_owned()))?;
        let rows = || self.rows_of(id);
        let live: Vec<Seq> = rows()
            .filter(|(key, _)| key.kind == DeliveryKind::Live)
            .map(|(_, row)| row.seq)
            .collect();
        let parked: BTreeSet<Seq> = live
            .iter()
            .copied()
            .filter(|seq| *seq > installed.cursor)
            .collect();
        let dead = self
            .letters
            .values()
            .filter(|letter| letter.installation == id && letter.event.seq > installed.cursor)
            .map(|letter| letter.event.seq);
        Ok(Attachment {
            settled: installed.cursor,
            parked_through: parked.last().copied(),
            handled: parked
                .iter()
                .copied()
                .chain(dead)
                .map(|seq| (seq, HandlerName::WHOLE))
                .collect(),
            next_retry_at: rows().map(|(_, row)| row.next_attempt_at).min(),
            parked_live: !live.is_empty(),
            head: self.head(installed.workspace()),
        })
    }

    pub(super) fn rows_of(&self, id: InstallationId) -> impl Iterator<Item = (DeliveryKey, &Retry)> {
        self.retries
            .iter()
            .filter(move |((installation, _), _)| *installation == id)
            .map(|((_, key), row)| (*key, row))
    }

    pub(crate) fn view(&self, installed: &Installed) -> InstallationView {
        let is_over = |until| until <= installed.cursor;
        InstallationView {
            installation: installed.row.clone(),
            spans: installed
                .all_spans()
                .into_iter()
                .filter(|span| !span.until_seq.is_some_and(is_over))
                .collect(),
            settled: installed.cursor,
            has_retries: self.rows_of(installed.id()).next().is_some(),
        }
    }

    pub(crate) fn views(&self, workspace: WorkspaceId) -> Vec<InstallationView> {
        self.installations
            .values()
            .filter(|installed| installed.workspace() == workspace && !installed.row.closed)
            .map(|installed| self.view(installed))
            .collect()
    }

    pub(crate) fn due_retries(
        &self,
        installation: InstallationId,
        due_by: Timestamp,
        limit: usize,
    ) -> DueRetries {
        let mut rows: Vec<(DeliveryKey, &Retry)> = self.rows_of(installation).collect();
        rows.sort_by_key(|(key, row)| (row.next_attempt_at, row.seq, *key));
        let due = rows.partition_point(|(_, row)| row.next_attempt_at <= due_by);
        let taken = due.min(limit);
        let next = rows.get(taken).map(|(_, row)| row.next_attempt_at);
        let found = rows
            .into_iter()
            .take(taken)
            .filter_map(|(key, row)| self.retry_row(key, row));
        (found.collect(), next)
    }

    fn retry_row(&self, key: DeliveryKey, row: &Retry) -> Option<RetryRow> {
        let event = match row.dead_letter_id {
            Some(letter) => &self.letters.get(&letter)?.event,
            None => {
                let (workspace, seq) = self.positions.get(&key.event_id)?;
                self.events(*workspace, seq.prev(), *seq).first()?
            }
        };
        Some(RetryRow {
            key,
            event: Arc::clone(event),
            attempts: row.attempts,
            next_attempt_at: row.next_attempt_at,
            dead_letter_id: row.dead_letter_id,
            last_error: row.last_error.clone(),
            last_status: row.last_status,
        })
    }
}
