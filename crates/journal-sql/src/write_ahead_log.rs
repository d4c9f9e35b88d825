//! SQLite's write-ahead log, kept within [`frames::BOUND_BYTES`] off the commit path.
//!
//! Committed pages stand in the log until a checkpoint has copied them into the database file. The next write starts
//! the log anew once all of it is copied and no reader needs it. A task with a connection of its own copies; it blocks
//! neither the writer nor readers. Under a load that never pauses the writer appends while the task copies, so that
//! the task alone never has all of it copied. The writer therefore looks at the log between batches and, where it has
//! become large, copies the little that is left itself.
//!
//! Reads that overlap without a pause would keep the log for ever, each as it was when it began. Where a log is
//! kept so the task closes the [`Gate`] for a moment: the reads under way end, the writer copies what is left, and new
//! reads need the log no longer. The writer itself never waits for a reader. While another process keeps an old
//! snapshot, or reads of this one take longer than [`READERS_PATIENCE`] without a pause, the log grows, and what bounds
//! it then is the room on the disk (see `disk_watch`).
//!
//! The file is written over, not cut off: pages within a file are on the disk sooner than those that make it longer.
//! Only what is beyond [`frames::BOUND_BYTES`] is cut off, with the first commit after the log was started anew.

pub(crate) mod frames;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, Statement};
use tokio::sync::Notify;

use self::frames::{Frames, Mode};
use super::{database::DatabaseUrl, reader::Gate};
use pointsman_clock::Clock;

/// How often the task copies where nobody asks for it.
const COPY_EVERY: Duration = Duration::from_millis(500);
/// How often the writer looks while it writes.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Until the writer copies again where somebody has kept the log.
const KEPT_PAUSE: Duration = Duration::from_millis(250);
/// How long reads under way may take until new ones wait no longer for them.
const READERS_PATIENCE: Duration = Duration::from_secs(1);
/// How long the gate stays closed for the writer's look.
const LOOK_PATIENCE: Duration = Duration::from_millis(100);
/// From one closing of the gate to the next; doubled with each that did not let the log be started anew, up to the
/// longest: then it is another process that keeps the log.
const GATE_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_GATE_PAUSE: Duration = Duration::from_secs(5);
/// Until the writer looks again after a look that did not end in time.
const SLOW_PAUSE: Duration = Duration::from_secs(10);
/// How long the writer waits for the task to end its copying.
const COPY_PATIENCE: Duration = Duration::from_millis(50);
/// Until the writer tries again where that was in vain. With the patience less than [`TASK_PAUSE`], so that its turn
/// comes once the task has ended what it copies.
const BUSY_PAUSE: Duration = Duration::from_millis(200);
/// How long the task rests where the writer has waited for it in vain.
const TASK_PAUSE: Duration = Duration::from_millis(300);
/// How often trouble with the log is told.
const TELL_EVERY: Duration = Duration::from_secs(30);

const MIB: u64 = 1024 * 1024;
/// A file smaller than this is left alone.
const WORTHWHILE_BYTES: u64 = 4 * MIB;
/// What the task copies at once where the writer finds so much. The more it is, the oftener a page that is written
/// again and again is copied only once.
const WANTED_BYTES: u64 = 16 * MIB;
/// A log larger than this is to be started anew.
const LARGE_BYTES: u64 = 22 * MIB;
/// What the writer copies of a large log: a few milliseconds of its time.
const LITTLE_BYTES: u64 = 8 * MIB;
/// For a log larger than this new reads wait for a moment: those under way may be what keeps it.
const KEPT_BYTES: u64 = 28 * MIB;
/// For a log larger than this the writer copies more, up to [`MUCH_BYTES`], and waits for the task's copying.
const HUGE_BYTES: u64 = 32 * MIB;
/// The most that the writer copies; more than [`HUGE_BYTES`], so that the bound holds whatever the task does. There is
/// more only after a crash, or behind a snapshot; then the task copies.
const MUCH_BYTES: u64 = 48 * MIB;

/// Looks after the log where the engine has one in a file; does nothing elsewhere.
#[derive(Debug, Default)]
pub(super) struct WriteAheadLog {
    clock: Clock,
    copier: Option<Copier>,
    next_look: Mutex<Option<Instant>>,
    /// What was in the log when the writer had copied all of it; 0 where it has not.
    copied_bytes: AtomicU64,
}

/// The task that copies, and how to reach it.
#[derive(Debug)]
struct Copier {
    task: tokio::task::JoinHandle<()>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    clock: Clock,
    /// There is something worth copying.
    wanted: Notify,
    /// Held while pages are copied: SQLite lets one at a time, and refuses the other.
    copying: tokio::sync::Mutex<()>,
    /// The writer has waited for the task in vain, and is to come before it.
    is_writers_turn: AtomicBool,
    /// The writer writes to a log that readers may keep.
    is_long: AtomicBool,
    /// Nobody reads: what the writer copies now is all that anybody needs of the log.
    is_quiet: AtomicBool,
    /// The writer has used the quiet.
    used_quiet: Notify,
    /// The log was started anew since the gate was closed.
    is_anew: AtomicBool,
    told_at: Mutex<Option<Instant>>,
}

impl WriteAheadLog {
    /// Starts the task where the engine is SQLite. Call it on the journal's runtime.
    pub(super) fn keep(url: &DatabaseUrl, gate: Gate, clock: Clock) -> Self {
        let (Some(file), Some(connection)) = (url.file(), url.checkpointer()) else {
            return Self::default();
        };
        let shared = Arc::new(Shared {
            clock,
            ..Shared::default()
        });
        let task = Task {
            connection,
            log: log_of(file),
            gate,
            next_closing: clock.instant(),
            gate_pause: GATE_PAUSE,
            shared: Arc::clone(&shared),
        };
        let task = tokio::spawn(task.run());
        Self {
            clock,
            copier: Some(Copier { task, shared }),
            ..Self::default()
        }
    }

    /// Stops the task.
    pub(super) fn stop(&self) {
        if let Some(copier) = &self.copier {
            copier.task.abort();
        }
    }

    /// Whether the writer is to look at the log. At most once in [`LOOK_EVERY`], so that a busy writer spends no time
    /// on it.
    pub(super) fn is_due(&self) -> bool {
        let now = self.clock.instant();
        self.copier.as_ref().is_some_and(|copier| {
            copier.shared.is_quiet.load(Ordering::Acquire)
                || locked(&self.next_look).is_none_or(|at| now >= at)
        })
    }

    /// Looks at the log and sees to it that the next write starts a large one anew. `checkpoint` runs one on the
    /// writer's connection.
    pub(super) async fn tend<'a>(&self, checkpoint: impl Fn(Mode) -> BoxFuture<'a, Result<Frames, DbErr>>) {
        let Some(copier) = &self.copier else {
            return;
        };
        // Also where this does not end in time.
        *locked(&self.next_look) = Some(self.clock.instant() + SLOW_PAUSE);
        let pause = match self.shorten(&copier.shared, checkpoint).await {
            Ok(pause) => pause,
            Err(error) => {
                copier
                    .shared
                    .tell("the write-ahead log could not be started anew", &error);
                COPY_EVERY
            }
        };
        *locked(&self.next_look) = Some(self.clock.instant() + pause);
    }

    /// Returns when to look again.
    async fn shorten<'a>(
        &self,
        shared: &Shared,
        checkpoint: impl Fn(Mode) -> BoxFuture<'a, Result<Frames, DbErr>>,
    ) -> Result<Duration, DbErr> {
        let found = checkpoint(Mode::Noop).await?;
        // It has grown since all of it was copied, instead of being started anew.
        let copied = self.copied_bytes.swap(0, Ordering::Relaxed);
        let is_kept = (1..=found.bytes).contains(&copied);
        if copied > found.bytes {
            shared.is_anew.store(true, Ordering::Relaxed);
        }
        let is_long = is_kept || found.bytes >= KEPT_BYTES;
        shared.is_long.store(is_long, Ordering::Relaxed);
        if is_long || found.left >= WANTED_BYTES {
            shared.wanted.notify_one();
        }
        let is_quiet = shared.is_quiet.load(Ordering::Acquire);
        if !is_for_the_writer(found, is_quiet) {
            return Ok(LOOK_EVERY);
        }
        if is_kept && !is_quiet {
            return Ok(KEPT_PAUSE);
        }
        // Else two copy at once, of which SQLite refuses one.
        let patience = if found.bytes >= HUGE_BYTES {
            COPY_PATIENCE
        } else {
            Duration::ZERO
        };
        let Ok(_copying) = tokio::time::timeout(patience, shared.copying.lock()).await else {
            if patience.is_zero() {
                return Ok(LOOK_EVERY);
            }
            shared.is_writers_turn.store(true, Ordering::Relaxed);
            return Ok(BUSY_PAUSE);
        };
        let copied = checkpoint(Mode::Passive).await?;
        if shared.is_quiet.swap(false, Ordering::AcqRel) {
            shared.used_quiet.notify_one();
        }
        if copied.left > 0 {
            return Ok(KEPT_PAUSE);
        }
        self.copied_bytes.store(copied.bytes, Ordering::Relaxed);
        Ok(LOOK_EVERY)
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whether the writer is to copy what is left: the log is large, and publishers do not wait long for it; or readers
/// wait.
const fn is_for_the_writer(frames: Frames, is_quiet: bool) -> bool {
    let most = match frames.bytes {
        HUGE_BYTES.. => MUCH_BYTES,
        _ if is_quiet => MUCH_BYTES,
        LARGE_BYTES.. => LITTLE_BYTES,
        _ => return false,
    };
    frames.left <= most
}

impl Shared {
    fn tell(&self, what: &str, error: &DbErr) {
        let now = self.clock.instant();
        let mut told_at = locked(&self.told_at);
        if told_at.is_none_or(|at| now.saturating_duration_since(at) >= TELL_EVERY) {
            *told_at = Some(now);
            log::warn!(error:%; "{what}");
        }
    }
}

/// What the task that copies has.
struct Task {
    connection: DatabaseConnection,
    log: PathBuf,
    gate: Gate,
    next_closing: Instant,
    gate_pause: Duration,
    shared: Arc<Shared>,
}

impl Task {
    async fn run(mut self) {
        loop {
            // Whichever comes first.
            let _ = tokio::time::timeout(COPY_EVERY, self.shared.wanted.notified()).await;
            let size = tokio::fs::metadata(&self.log).await.map_or(0, |log| log.len());
            if size < WORTHWHILE_BYTES {
                continue;
            }
            self.copy().await;
            if self.shared.is_writers_turn.swap(false, Ordering::Relaxed) {
                tokio::time::sleep(TASK_PAUSE).await;
            }
            let is_time = self.shared.clock.instant() >= self.next_closing;
            if is_time && self.shared.is_long.swap(false, Ordering::Relaxed) {
                self.keep_readers_away().await;
            }
        }
    }

    async fn copy(&self) {
        let _copying = self.shared.copying.lock().await;
        if let Err(error) = checkpoint(&self.connection, Mode::Passive).await {
            self.shared
                .tell("the write-ahead log could not be copied", &error);
        }
    }

    /// Until the writer has copied what is left.
    async fn keep_readers_away(&mut self) {
        self.gate_pause = if self.shared.is_anew.swap(false, Ordering::Relaxed) {
            GATE_PAUSE
        } else {
            self.gate_pause.saturating_mul(2).min(LONGEST_GATE_PAUSE)
        };
        if let Some(_closed) = self.gate.close(READERS_PATIENCE).await {
            self.shared.is_quiet.store(true, Ordering::Release);
            let used = self.shared.used_quiet.notified();
            // The writer looks at once, if it writes at all.
            let _ = tokio::time::timeout(LOOK_PATIENCE, used).await;
            self.shared.is_quiet.store(false, Ordering::Release);
        }
        self.next_closing = self.shared.clock.instant() + self.gate_pause;
    }
}

/// Runs a checkpoint on this connection.
async fn checkpoint(connection: &DatabaseConnection, mode: Mode) -> Result<Frames, DbErr> {
    let statement = Statement::from_string(connection.get_database_backend(), mode.sql());
    let Some(row) = connection.query_one_raw(statement).await? else {
        return Err(DbErr::Custom("SQLite has no write-ahead log".to_owned()));
    };
    let frames = |index| row.try_get_by_index(index);
    Ok(Frames::of((frames(0)?, frames(1)?, frames(2)?)))
}

fn log_of(database: PathBuf) -> PathBuf {
    let mut name = database.into_os_string();
    name.push("-wal");
    PathBuf::from(name)
}

/// A panic while it is held leaves nothing half done.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
