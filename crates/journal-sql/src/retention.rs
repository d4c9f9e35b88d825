//! Deletes what is older than its retention, and what has expired, beside the engine.
//!
//! A thread of its own plans: it reads over a connection of its own which rows are old, and which of them somebody
//! still needs. The writer deletes them in pieces (`delete`), between two batches. A piece is made so large that it
//! holds the writer up for about two milliseconds, and the pauses between pieces leave at least half of the writer's
//! time to everybody else, usually nine tenths.
//!
//! Events go in the order of their workspace's log, so that a log has no gaps: `needs` says where that has to stop.
//!
//! The rows of a workspace that an admin has deleted go the same way, whatever their age (`workspaces`).

mod announce;
mod delete;
mod deletions;
mod events;
mod gone;
mod history;
mod needs;
mod pace;
mod planner;
mod size;
mod state;
mod workspaces;

use std::time::Duration;

use tokio::sync::watch;

pub(crate) use self::{delete::delete, deletions::Deletions, planner::Parts};
use self::{
    pace::Pace,
    planner::{Interrupted, Planner},
};
pub use self::{
    planner::RetentionSettings,
    state::{DeletedRows, Held, HeldBack, HeldBy, RetentionPass, RetentionState},
};

/// The time between two passes.
const SHORTEST_PAUSE: Duration = Duration::from_secs(60);
/// How long it takes until all workspaces are looked through again, as a multiple of the time that it took to read.
const PAUSE_FACTOR: u32 = 50;
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// The pause after an error.
const ERROR_PAUSE: Duration = Duration::from_secs(10);

/// Runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Retention {
    _running: watch::Sender<()>,
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
            next_full: None,
            deleting: None,
            stopped,
        };
        std::thread::Builder::new()
            .name("retention".to_owned())
            .spawn(move || {
                let _ended = Ended;
                runtime.block_on(planner.run());
            })?;
        Ok(Self { _running: running })
    }
}

/// Says so where the thread ends by a panic.
struct Ended;

impl Drop for Ended {
    fn drop(&mut self) {
        if std::thread::panicking() {
            log::error!("retention has panicked; nothing is deleted until the server is started again");
        }
    }
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
                // The journal has been stopped meanwhile.
                Err(Interrupted::Read(_)) if self.parts.reader.is_closed() => return,
                Err(error) => {
                    error.tell();
                    ERROR_PAUSE
                }
            };
            match self.delete_workspaces(pause).await {
                Ok(()) => {}
                Err(Interrupted::Stopped) => return,
                Err(Interrupted::Read(_)) if self.parts.reader.is_closed() => return,
                Err(error) => {
                    error.tell();
                    if self.sleep(ERROR_PAUSE).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Deletes what has expired and, where it is time for that, all that may be deleted because of its age. Returns the
    /// time until the next pass.
    async fn pass(&mut self) -> Result<Duration, Interrupted> {
        let now = self.parts.clock.now();
        self.prune_expired().await?;
        if self.next_full.is_some_and(|at| self.parts.clock.instant() < at) {
            return Ok(SHORTEST_PAUSE);
        }
        let from = self.parts.state.from();
        if now < from {
            return Ok(from.since(now).min(SHORTEST_PAUSE));
        }
        let began = self.parts.clock.instant();
        let held_up = self.pace.spent();
        let mut report = RetentionPass::begun(now);
        let cutoffs = self.cutoffs(now);
        let gone_before = cutoffs.events.min(cutoffs.dead_letters);
        // What cannot be read of one kind does not keep the others.
        let ended = [
            self.prune_events(cutoffs.events, &mut report).await.map(drop),
            self.prune_attempts(cutoffs.attempts, &mut report).await.map(drop),
            self.prune_dead_letters(cutoffs.dead_letters, &mut report).await,
            self.prune_derived_ids(cutoffs.dead_letters, &mut report).await,
            self.prune_chat_messages(cutoffs.chat_messages, &mut report).await,
            self.prune_installations(gone_before, &mut report).await,
            self.prune_to_size(&mut report).await,
        ];
        for ended in ended {
            ended?;
        }
        report.ended_at = self.parts.clock.now();
        self.parts.state.publish(report);
        let reading = self
            .parts
            .clock
            .elapsed(began)
            .saturating_sub(self.pace.spent() - held_up);
        self.next_full = Some(self.parts.clock.instant() + (reading * PAUSE_FACTOR).min(LONGEST_PAUSE));
        Ok(SHORTEST_PAUSE)
    }
}
