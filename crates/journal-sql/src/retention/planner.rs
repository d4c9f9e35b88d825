//! The planner: what it works with, and how it hands pieces to the writer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pointsman_clock::Clock;
use pointsman_domain::timestamp::Timestamp;
use pointsman_journal::{
    Pruner, StorageUnavailable,
    prune::{Deleted, Piece},
};
use sea_orm::DbErr;
use tokio::sync::watch;

use super::{
    deletions::{Deleting, Deletions},
    pace::Pace,
    state::RetentionState,
};
use crate::reader::Reader;

/// How long things are kept.
#[derive(Clone, Copy, Debug)]
pub struct RetentionSettings {
    /// Events in the log.
    pub events: Duration,
    /// The history of attempts.
    pub attempts: Duration,
    /// Dead letters, and the ids that keep publications of handlers single.
    pub dead_letters: Duration,
    /// Messages of the chat.
    pub chat_messages: Duration,
    /// Bytes of the database above which the oldest events and attempts go before their time; none for no bound.
    pub max_bytes: Option<u64>,
}

/// As in `config/default.toml`.
impl Default for RetentionSettings {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            events: 30 * DAY,
            attempts: 30 * DAY,
            dead_letters: 90 * DAY,
            chat_messages: 365 * DAY,
            max_bytes: None,
        }
    }
}

/// What a planner works with.
pub(crate) struct Parts {
    pub(crate) settings: RetentionSettings,
    pub(crate) reader: Reader,
    pub(crate) pruner: Pruner,
    pub(crate) state: Arc<RetentionState>,
    pub(crate) deletions: Arc<Deletions>,
    pub(crate) clock: Clock,
}

/// Why a pass has ended before its end.
#[derive(Debug)]
pub(super) enum Interrupted {
    /// The database cannot be read.
    Read(DbErr),
    /// The writer did not delete a piece.
    Write,
    Stopped,
}

impl Interrupted {
    /// Into the log, where nothing else says it.
    pub(super) fn tell(&self) {
        if let Self::Read(error) = self {
            log::warn!(error:%; "what is to be deleted cannot be read; it is tried again");
        }
    }
}

impl From<DbErr> for Interrupted {
    fn from(error: DbErr) -> Self {
        Self::Read(error)
    }
}

impl From<StorageUnavailable> for Interrupted {
    fn from(_: StorageUnavailable) -> Self {
        Self::Write
    }
}

pub(super) struct Planner {
    pub(super) parts: Parts,
    pub(super) pace: Pace,
    /// When all of what is kept by its age is looked through again.
    pub(super) next_full: Option<Instant>,
    /// The workspace whose rows are being deleted.
    pub(super) deleting: Option<Deleting>,
    /// Closed when the planner is to end.
    pub(super) stopped: watch::Receiver<()>,
}

/// Rows that a pass keeps up to these times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cutoffs {
    pub(super) events: Timestamp,
    pub(super) attempts: Timestamp,
    pub(super) dead_letters: Timestamp,
    pub(super) chat_messages: Timestamp,
}

impl Planner {
    /// Waits, or is stopped.
    pub(super) async fn sleep(&mut self, time: Duration) -> Result<(), Interrupted> {
        tokio::select! {
            // The sender sends nothing: a change is its end.
            _ = self.stopped.changed() => Err(Interrupted::Stopped),
            () = tokio::time::sleep(time) => Ok(()),
        }
    }

    pub(super) fn cutoffs(&self, now: Timestamp) -> Cutoffs {
        let settings = self.parts.settings;
        Cutoffs {
            events: now - settings.events,
            attempts: now - settings.attempts,
            dead_letters: now - settings.dead_letters,
            chat_messages: now - settings.chat_messages,
        }
    }

    /// Has the writer delete the piece, after one of a workspace that is deleted, so that neither waits for all of the
    /// other.
    pub(super) async fn prune(&mut self, piece: Piece) -> Result<Deleted, Interrupted> {
        self.delete_some().await?;
        self.prune_now(piece).await
    }

    /// Has the writer delete the piece, after the pause that the pieces before have earned.
    pub(super) async fn prune_now(&mut self, piece: Piece) -> Result<Deleted, Interrupted> {
        let pause = self.pace.pause();
        self.sleep(pause).await?;
        let deleted = self.parts.pruner.prune(piece).await?;
        self.pace.deleted(deleted);
        Ok(deleted)
    }
}
