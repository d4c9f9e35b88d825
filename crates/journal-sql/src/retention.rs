//! Deletes what is older than its retention, beside the engine.
//!
//! A thread of its own plans: it reads over a connection of its own which rows are old, and which of them somebody
//! still needs. The writer deletes them in pieces (`delete`), between two batches. A piece is made so large that it
//! holds the writer up for about two milliseconds, and the pauses between pieces leave at least half of the writer's
//! time to everybody else, usually nine tenths.
//!
//! Events go in the order of their workspace's log, so that a log has no gaps: `needs` says where that has to stop.
//!
//! The rows of a workspace that an admin has deleted go the same way, whatever their age (`workspaces`).

mod delete;
mod events;
mod gone;
mod history;
mod needs;
mod pace;
mod size;
mod state;
mod workspaces;

use std::{sync::Arc, time::Duration};

use pointsman_clock::Clock;
use pointsman_domain::timestamp::Timestamp;
use pointsman_journal::{
    Pruner, StorageUnavailable,
    prune::{Deleted, Piece},
};
use sea_orm::DbErr;
use tokio::sync::watch;

pub use self::state::{DeletedRows, Held, HeldBack, HeldBy, RetentionPass, RetentionState};
pub(crate) use self::{
    delete::{delete, numbered_statement, run},
    workspaces::Deletions,
};
use self::{pace::Pace, workspaces::Deleting};
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

/// The least time between two passes.
const SHORTEST_PAUSE: Duration = Duration::from_secs(60);
/// The pause after a pass, as a multiple of the time that it took to read.
const PAUSE_FACTOR: u32 = 50;
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// The pause after an error.
const ERROR_PAUSE: Duration = Duration::from_secs(10);

/// Runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Retention {
    _running: watch::Sender<()>,
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

impl Retention {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the system refuses a thread.
    pub(crate) fn start(parts: Parts) -> std::io::Result<Self> {
        let (running, stopped) = watch::channel(());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let planner = Planner {
            pace: Pace::new(parts.clock),
            parts,
            deleting: None,
            stopped,
        };
        std::thread::Builder::new()
            .name("retention".to_owned())
            .spawn(move || runtime.block_on(planner.run()))?;
        Ok(Self { _running: running })
    }
}

/// Why a pass has ended before its end.
#[derive(Debug)]
enum Interrupted {
    /// The database cannot be read.
    Read(DbErr),
    /// The writer did not delete a piece.
    Write,
    Stopped,
}

impl Interrupted {
    /// Into the log, where nothing else says it.
    fn tell(&self) {
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

struct Planner {
    parts: Parts,
    pace: Pace,
    /// The workspace whose rows are being deleted.
    deleting: Option<Deleting>,
    /// Closed when the planner is to end.
    stopped: watch::Receiver<()>,
}

/// Rows that a pass keeps up to these times.
#[derive(Clone, Copy, Debug)]
struct Cutoffs {
    events: Timestamp,
    attempts: Timestamp,
    dead_letters: Timestamp,
    chat_messages: Timestamp,
}

impl Planner {
    async fn run(mut self) {
        self.announce().await;
        let mut erases = true;
        loop {
            if erases {
                erases = self.end_erasures().await.is_err();
            }
            let pause = match self.pass().await {
                Ok(pause) => pause,
                Err(Interrupted::Stopped) => return,
                Err(error) => {
                    error.tell();
                    ERROR_PAUSE
                }
            };
            match self.delete_workspaces(pause).await {
                Ok(()) => {}
                Err(Interrupted::Stopped) => return,
                Err(error) => {
                    error.tell();
                    if self.sleep(ERROR_PAUSE).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Waits, or is stopped.
    async fn sleep(&mut self, time: Duration) -> Result<(), Interrupted> {
        tokio::select! {
            // The sender sends nothing: a change is its end.
            _ = self.stopped.changed() => Err(Interrupted::Stopped),
            () = tokio::time::sleep(time) => Ok(()),
        }
    }

    /// Deletes all that may be deleted now. Returns the time until the next pass.
    async fn pass(&mut self) -> Result<Duration, Interrupted> {
        let now = self.parts.clock.now();
        let from = self.parts.state.from();
        if now < from {
            return Ok(from.since(now).min(SHORTEST_PAUSE));
        }
        let began = self.parts.clock.instant();
        let held_up = self.pace.spent();
        let mut report = RetentionPass::begun(now);
        let cutoffs = self.cutoffs(now);
        self.prune_events(cutoffs.events, &mut report).await?;
        self.prune_attempts(cutoffs.attempts, &mut report).await?;
        self.prune_dead_letters(cutoffs.dead_letters, &mut report).await?;
        self.prune_derived_ids(cutoffs.dead_letters, &mut report).await?;
        self.prune_chat_messages(cutoffs.chat_messages, &mut report)
            .await?;
        self.prune_installations(cutoffs.events.min(cutoffs.dead_letters), &mut report)
            .await?;
        self.prune_to_size(&mut report).await?;
        report.ended_at = self.parts.clock.now();
        self.parts.state.publish(report);
        let reading = self
            .parts
            .clock
            .elapsed(began)
            .saturating_sub(self.pace.spent() - held_up);
        Ok((reading * PAUSE_FACTOR).clamp(SHORTEST_PAUSE, LONGEST_PAUSE))
    }

    fn cutoffs(&self, now: Timestamp) -> Cutoffs {
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
    async fn prune(&mut self, piece: Piece) -> Result<Deleted, Interrupted> {
        self.delete_some().await?;
        self.prune_now(piece).await
    }

    /// Has the writer delete the piece, after the pause that the pieces before have earned.
    async fn prune_now(&mut self, piece: Piece) -> Result<Deleted, Interrupted> {
        let pause = self.pace.pause();
        self.sleep(pause).await?;
        let deleted = self.parts.pruner.prune(piece).await?;
        self.pace.deleted(deleted);
        Ok(deleted)
    }
}
