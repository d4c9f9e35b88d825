//! Keeps SQLite's write-ahead log within [`log_size::BOUND_BYTES`], off the commit path.
//!
//! Committed pages stay in the log until a checkpoint copies them into the database file. SQLite restarts the log, that
//! is, writes it again from its beginning, once every page is copied and no reader needs the log. A background task
//! runs checkpoints on its own connection; it blocks neither the writer nor readers. Under continuous load the writer
//! appends while the task copies, so that the task alone never copies every page. The writer therefore checks the log
//! between batches. Where the log is large the writer copies the few remaining pages itself.
//!
//! Each read keeps the snapshot of its beginning, so that overlapping reads without a pause would prevent a restart for
//! ever. In that case the task closes the [`Gate`] for a moment: the running reads end, the writer copies the remaining
//! pages, and new reads do not need the log. The writer never waits for a reader. While another process holds an old
//! snapshot, or reads of this process overlap for longer than [`READS_TIMEOUT`], the log grows. Then only the free
//! space on the disk bounds it (see `disk_watch`).
//!
//! SQLite overwrites the file and does not truncate it at a restart, because overwriting pages syncs faster than
//! extending a file. The first commit after a restart truncates the part beyond [`log_size::BOUND_BYTES`].

pub(crate) mod log_size;

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

use self::log_size::{CheckpointMode, LogSize};
use super::{database::DatabaseUrl, reader::Gate};
use pointsman_clock::Clock;

/// How often the task runs a checkpoint without a request.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(500);
/// How often the writer checks the log while it writes.
const CHECK_EVERY: Duration = Duration::from_millis(20);
/// How long the writer waits before it copies again where a reader prevents the restart.
const BLOCKED_PAUSE: Duration = Duration::from_millis(250);
/// How long new reads wait for running reads to end. Then the gate opens without effect.
const READS_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the gate stays closed, waiting for the writer's checkpoint.
const WRITER_TIMEOUT: Duration = Duration::from_millis(100);
/// From one closing of the gate to the next. Doubled after each closing without a restart of the log, up to
/// [`LONGEST_GATE_PAUSE`]: then another process prevents the restart.
const GATE_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_GATE_PAUSE: Duration = Duration::from_secs(5);
/// How long the writer waits after a check that did not end in time.
const SLOW_PAUSE: Duration = Duration::from_secs(10);
/// How long the writer waits for a checkpoint of the task to end.
const TASK_TIMEOUT: Duration = Duration::from_millis(50);
/// How long the writer waits before it tries again after such a time-out. Together with [`TASK_TIMEOUT`] it is less
/// than [`TASK_PAUSE`], so that the writer gets the lock after the task's current checkpoint.
const BUSY_PAUSE: Duration = Duration::from_millis(200);
/// How long the task pauses after the writer's wait for it timed out.
const TASK_PAUSE: Duration = Duration::from_millis(300);
/// Least time between two log lines about errors of the write-ahead log.
const LOG_EVERY: Duration = Duration::from_secs(30);

const MIB: u64 = 1024 * 1024;
/// The task runs no checkpoint of a smaller file.
const MIN_CHECKPOINT_BYTES: u64 = 4 * MIB;
/// Bytes not yet copied from which on the writer asks the task for a checkpoint. The higher this is, the more often a
/// page that is written repeatedly is copied only once.
const REQUEST_BYTES: u64 = 16 * MIB;
/// From this size on the log is to be restarted.
const LARGE_BYTES: u64 = 22 * MIB;
/// The most that the writer copies of a large log; this takes a few milliseconds.
const LARGE_COPY_BYTES: u64 = 8 * MIB;
/// From this size on the gate is closed for a moment: running reads may prevent the restart.
const CLOSE_GATE_BYTES: u64 = 28 * MIB;
/// From this size on the writer copies up to [`HUGE_COPY_BYTES`], and waits for the task's checkpoint.
const HUGE_BYTES: u64 = 32 * MIB;
/// The most that the writer ever copies. More than [`HUGE_BYTES`], so that the bound on the log does not depend on the
/// task. More is left to copy only after a crash or behind a snapshot; then the task copies it.
const HUGE_COPY_BYTES: u64 = 48 * MIB;

/// Bounds the write-ahead log on SQLite. Does nothing on PostgreSQL.
#[derive(Debug, Default)]
pub(super) struct WriteAheadLog {
    clock: Clock,
    checkpointer: Option<Checkpointer>,
    next_check: Mutex<Option<Instant>>,
    /// Size of the log when the writer had copied all of it; 0 if it has not.
    copied_bytes: AtomicU64,
}

/// The background task, and the state that it shares with the writer.
#[derive(Debug)]
struct Checkpointer {
    task: tokio::task::JoinHandle<()>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    clock: Clock,
    /// Asks the task for a checkpoint.
    requested: Notify,
    /// Held during a checkpoint: SQLite refuses a second one at the same time.
    checkpointing: tokio::sync::Mutex<()>,
    /// The writer's wait for the task timed out; the task pauses to let it go first.
    must_pause: AtomicBool,
    /// Readers may prevent the restart of the log.
    may_be_blocked: AtomicBool,
    /// The gate is closed, no read runs, and the writer has not yet copied: its checkpoint lets the log be restarted.
    is_gate_closed: AtomicBool,
    /// The writer has run a checkpoint while the gate was closed.
    writer_copied: Notify,
    /// The log was restarted since the gate was closed last.
    was_restarted: AtomicBool,
    logged_at: Mutex<Option<Instant>>,
}

impl WriteAheadLog {
    /// Starts the task on SQLite. Call it on the journal's runtime.
    pub(super) fn start(url: &DatabaseUrl, gate: Gate, clock: Clock) -> Self {
        let (Some(file), Some(connection)) = (url.file(), url.checkpoint_connection()) else {
            return Self::default();
        };
        let shared = Arc::new(Shared {
            clock,
            ..Shared::default()
        });
        let task = CheckpointTask {
            connection,
            log: log_path(file),
            gate,
            next_closing: clock.instant(),
            gate_pause: GATE_PAUSE,
            shared: Arc::clone(&shared),
        };
        let task = tokio::spawn(task.run());
        Self {
            clock,
            checkpointer: Some(Checkpointer { task, shared }),
            ..Self::default()
        }
    }

    /// Stops the task.
    pub(super) fn stop(&self) {
        if let Some(checkpointer) = &self.checkpointer {
            checkpointer.task.abort();
        }
    }

    /// Whether the writer is to check the log: at most once in [`CHECK_EVERY`] unless the gate is closed, so that a
    /// busy writer spends little time on it.
    pub(super) fn is_due(&self) -> bool {
        let now = self.clock.instant();
        self.checkpointer.as_ref().is_some_and(|checkpointer| {
            checkpointer.shared.is_gate_closed.load(Ordering::Acquire)
                || lock(&self.next_check).is_none_or(|at| now >= at)
        })
    }

    /// Checks the log and, where it is large, copies the rest so that the next write restarts it. `checkpoint` runs a
    /// checkpoint on the writer's connection.
    pub(super) async fn tend<'a>(
        &self,
        checkpoint: impl Fn(CheckpointMode) -> BoxFuture<'a, Result<LogSize, DbErr>>,
    ) {
        let Some(checkpointer) = &self.checkpointer else {
            return;
        };
        // Set first: it holds where the time-out of the caller ends this call.
        *lock(&self.next_check) = Some(self.clock.instant() + SLOW_PAUSE);
        let pause = match self.check(&checkpointer.shared, checkpoint).await {
            Ok(pause) => pause,
            Err(error) => {
                checkpointer
                    .shared
                    .log_seldom("the write-ahead log could not be started anew", &error);
                CHECKPOINT_EVERY
            }
        };
        *lock(&self.next_check) = Some(self.clock.instant() + pause);
    }

    /// Returns the time until the next check.
    async fn check<'a>(
        &self,
        shared: &Shared,
        checkpoint: impl Fn(CheckpointMode) -> BoxFuture<'a, Result<LogSize, DbErr>>,
    ) -> Result<Duration, DbErr> {
        let found = checkpoint(CheckpointMode::Noop).await?;
        // The log has grown since the writer copied all of it, instead of being restarted: a reader needs it.
        let copied = self.copied_bytes.swap(0, Ordering::Relaxed);
        let is_blocked = (1..=found.bytes).contains(&copied);
        if copied > found.bytes {
            shared.was_restarted.store(true, Ordering::Relaxed);
        }
        let may_be_blocked = is_blocked || found.bytes >= CLOSE_GATE_BYTES;
        shared.may_be_blocked.store(may_be_blocked, Ordering::Relaxed);
        if may_be_blocked || found.left >= REQUEST_BYTES {
            shared.requested.notify_one();
        }
        let is_gate_closed = shared.is_gate_closed.load(Ordering::Acquire);
        if !should_writer_copy(found, is_gate_closed) {
            return Ok(CHECK_EVERY);
        }
        if is_blocked && !is_gate_closed {
            return Ok(BLOCKED_PAUSE);
        }
        // SQLite would refuse one of two checkpoints at the same time.
        let wait = if found.bytes >= HUGE_BYTES {
            TASK_TIMEOUT
        } else {
            Duration::ZERO
        };
        let Ok(_checkpointing) = tokio::time::timeout(wait, shared.checkpointing.lock()).await else {
            if wait.is_zero() {
                return Ok(CHECK_EVERY);
            }
            shared.must_pause.store(true, Ordering::Relaxed);
            return Ok(BUSY_PAUSE);
        };
        let copied = checkpoint(CheckpointMode::Passive).await?;
        if shared.is_gate_closed.swap(false, Ordering::AcqRel) {
            shared.writer_copied.notify_one();
        }
        if copied.left > 0 {
            return Ok(BLOCKED_PAUSE);
        }
        self.copied_bytes.store(copied.bytes, Ordering::Relaxed);
        Ok(CHECK_EVERY)
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whether the writer is to copy the rest: the log is large and the rest takes little time to copy, or reads wait at
/// the gate.
const fn should_writer_copy(size: LogSize, is_gate_closed: bool) -> bool {
    let most = match size.bytes {
        HUGE_BYTES.. => HUGE_COPY_BYTES,
        _ if is_gate_closed => HUGE_COPY_BYTES,
        LARGE_BYTES.. => LARGE_COPY_BYTES,
        _ => return false,
    };
    size.left <= most
}

impl Shared {
    fn log_seldom(&self, what: &str, error: &DbErr) {
        let now = self.clock.instant();
        let mut logged_at = lock(&self.logged_at);
        if logged_at.is_none_or(|at| now.saturating_duration_since(at) >= LOG_EVERY) {
            *logged_at = Some(now);
            log::warn!(error:%; "{what}");
        }
    }
}

/// The background task that runs checkpoints.
struct CheckpointTask {
    connection: DatabaseConnection,
    log: PathBuf,
    gate: Gate,
    next_closing: Instant,
    gate_pause: Duration,
    shared: Arc<Shared>,
}

impl CheckpointTask {
    async fn run(mut self) {
        loop {
            // A time-out is the regular case: nobody asked for a checkpoint.
            let _ = tokio::time::timeout(CHECKPOINT_EVERY, self.shared.requested.notified()).await;
            let size = tokio::fs::metadata(&self.log).await.map_or(0, |log| log.len());
            if size < MIN_CHECKPOINT_BYTES {
                continue;
            }
            self.copy().await;
            if self.shared.must_pause.swap(false, Ordering::Relaxed) {
                tokio::time::sleep(TASK_PAUSE).await;
            }
            let is_time = self.shared.clock.instant() >= self.next_closing;
            if is_time && self.shared.may_be_blocked.swap(false, Ordering::Relaxed) {
                self.close_gate().await;
            }
        }
    }

    async fn copy(&self) {
        let _checkpointing = self.shared.checkpointing.lock().await;
        if let Err(error) = checkpoint(&self.connection, CheckpointMode::Passive).await {
            self.shared
                .log_seldom("the write-ahead log could not be copied", &error);
        }
    }

    /// Closes the gate until the writer has copied the rest, or [`WRITER_TIMEOUT`] is over.
    async fn close_gate(&mut self) {
        self.gate_pause = if self.shared.was_restarted.swap(false, Ordering::Relaxed) {
            GATE_PAUSE
        } else {
            self.gate_pause.saturating_mul(2).min(LONGEST_GATE_PAUSE)
        };
        if let Some(_closed) = self.gate.close(READS_TIMEOUT).await {
            self.shared.is_gate_closed.store(true, Ordering::Release);
            let used = self.shared.writer_copied.notified();
            // A writer that is writing checks the log at once; an idle one does not, and this times out.
            let _ = tokio::time::timeout(WRITER_TIMEOUT, used).await;
            self.shared.is_gate_closed.store(false, Ordering::Release);
        }
        self.next_closing = self.shared.clock.instant() + self.gate_pause;
    }
}

/// Runs a checkpoint on this connection.
async fn checkpoint(connection: &DatabaseConnection, mode: CheckpointMode) -> Result<LogSize, DbErr> {
    let statement = Statement::from_string(connection.get_database_backend(), mode.sql());
    let Some(row) = connection.query_one_raw(statement).await? else {
        return Err(DbErr::Custom("SQLite has no write-ahead log".to_owned()));
    };
    let frames = |index| row.try_get_by_index(index);
    Ok(LogSize::of((frames(0)?, frames(1)?, frames(2)?)))
}

fn log_path(database: PathBuf) -> PathBuf {
    let mut name = database.into_os_string();
    name.push("-wal");
    PathBuf::from(name)
}

/// Ignores poisoning: each lock guards one value, which a panic cannot leave half written.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
