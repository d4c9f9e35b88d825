//! The history of attempts: when it is written, and what becomes of rows that cannot be written.

use std::time::{Duration, Instant};

use pointsman_domain::id::EventId;
use sea_orm::DbErr;

use super::{bounds::bounded, connection::WriterConnection, lanes::Lanes};
use crate::{attempts::AttemptBuffer, command::AttemptRecord, storage::Outcome};

#[derive(Default)]
pub(super) struct History {
    attempts: AttemptBuffer,
}

impl History {
    pub(super) fn add(&mut self, rows: &mut Vec<AttemptRecord>, now: Instant) {
        self.attempts.add(rows, now);
    }

    /// See [`AttemptBuffer::erase`].
    pub(super) fn erase(&mut self, event: EventId) {
        self.attempts.erase(event);
    }

    /// How long until rows are due; none where there are none.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        self.attempts.wait(now)
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.attempts.is_due(now)
    }

    /// Writes the rows of one transaction. The history is not guaranteed: rows that cannot be written are dropped with
    /// a warning, those of deleted workspaces without one. False where there are no rows or no connection.
    pub(super) async fn write(&mut self, connection: &mut WriterConnection, lanes: &Lanes) -> bool {
        let Some(current) = connection.get() else {
            return false;
        };
        let Some(mut piece) = self.attempts.take() else {
            return false;
        };
        piece.rows.retain(|row| !lanes.is_deleted(row.workspace_id));
        if piece.rows.is_empty() {
            return true;
        }
        match bounded(current.write_attempts(&piece.rows, piece.was_lost)).await {
            Outcome::Committed(()) => connection.answered(),
            Outcome::RolledBack(error) => report_refused(&self.attempts.refused(piece), &error),
            Outcome::Unknown | Outcome::NotBegun => {
                let rows = self.attempts.lost(piece).len();
                if rows > 0 {
                    log::warn!(rows; "attempts could not be recorded");
                }
                connection.lose("the history could not be written");
            }
        }
        true
    }
}

fn report_refused(rows: &[AttemptRecord], error: &DbErr) {
    match rows {
        [] => {}
        [row] => {
            let (workspace, installation, event) = (row.workspace_id, row.installation_id, row.event_id);
            log::error!(workspace:%, installation:%, event:%, attempt = row.number, error:%;
                "the database refuses an attempt; it is left out of the history");
        }
        rows => log::error!(rows = rows.len(), error:%;
            "the database refuses many attempts; these are left out of the history unread"),
    }
}
