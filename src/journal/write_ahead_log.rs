//! SQLite's write-ahead log, kept within [`BOUND_BYTES`] off the commit path.
//!
//! Committed pages stand in the log until a checkpoint has copied them into the database file. The next write starts
//! the log anew once all of it is copied and no reader needs it. A task with a connection of its own copies; it blocks
//! neither the writer nor readers. Under a load that never pauses the writer appends while the task copies, so that
//! the task alone never has all of it copied. The writer therefore looks at the log between batches and, where it has
//! become large, copies the little that is left itself. It never waits for a reader: while somebody keeps an old
//! snapshot the log grows, and what bounds it then is the room on the disk (see `disk_watch`).
//!
//! The file is written over, not cut off: pages within a file are on the disk sooner than those that make it longer.
//! Only what is beyond [`BOUND_BYTES`] is cut off, with the first commit after the log was started anew.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, Statement};
use tokio::sync::Notify;

use super::database::DatabaseUrl;
use crate::clock::Clock;

/// How often the task copies where nobody asks for it.
const COPY_EVERY: Duration = Duration::from_millis(500);
/// How often the writer looks while it writes.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Until the writer tries again where a snapshot was in the way.
const SNAPSHOT_PAUSE: Duration = Duration::from_millis(250);
/// Until the writer looks again after a look that did not end in time.
const SLOW_PAUSE: Duration = Duration::from_secs(10);
/// How long the writer waits for the task to end its copying.
const COPY_PATIENCE: Duration = Duration::from_millis(500);
/// How often trouble with the log is told.
const TELL_EVERY: Duration = Duration::from_secs(30);

const MIB: u64 = 1024 * 1024;
/// A file smaller than this is left alone, and so is what the task has not copied yet.
const WORTHWHILE_BYTES: u64 = 4 * MIB;
/// A log larger than this is to be started anew.
const LARGE_BYTES: u64 = 16 * MIB;
/// What the writer copies of a large log: a few milliseconds of its time.
const LITTLE_BYTES: u64 = 8 * MIB;
/// For a log larger than this the writer copies more, up to [`MUCH_BYTES`], and waits for the task's copying.
const HUGE_BYTES: u64 = 32 * MIB;
/// The most that the writer copies; more than [`HUGE_BYTES`], so that the bound holds whatever the task does. There is
/// more only after a crash, or behind a snapshot; then the task copies.
const MUCH_BYTES: u64 = 48 * MIB;
/// What the log has at most unless somebody keeps a snapshot or writes more in one transaction.
pub(super) const BOUND_BYTES: u64 = 64 * MIB;
/// A page, and the header of its frame.
const FRAME_BYTES: u64 = 4096 + 24;

/// Looks after the log where the engine has one in a file; does nothing elsewhere.
#[derive(Debug, Default)]
pub(super) struct WriteAheadLog {
    clock: Clock,
    copier: Option<Copier>,
    next_look: Mutex<Option<Instant>>,
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
    told_at: Mutex<Option<Instant>>,
}

/// What is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Used {
    bytes: u64,
    /// What of it is not copied.
    left: u64,
}

impl WriteAheadLog {
    /// Starts the task where the engine is SQLite. Call it on the journal's runtime.
    pub(super) fn keep(url: &DatabaseUrl, clock: Clock) -> Self {
        let (Some(file), Some(connection)) = (url.file(), url.checkpointer()) else {
            return Self::default();
        };
        let shared = Arc::new(Shared {
            clock,
            ..Shared::default()
        });
        let task = tokio::spawn(copy_pages(connection, log_of(file), Arc::clone(&shared)));
        Self {
            clock,
            copier: Some(Copier { task, shared }),
            next_look: Mutex::default(),
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
        self.copier.is_some() && locked(&self.next_look).is_none_or(|at| now >= at)
    }

    /// Looks at the log and sees to it that the next write starts a large one anew.
    pub(super) async fn tend(&self, writer: &DatabaseConnection) {
        let Some(copier) = &self.copier else {
            return;
        };
        // Also where this does not end in time.
        *locked(&self.next_look) = Some(self.clock.instant() + SLOW_PAUSE);
        let pause = match self.shorten(&copier.shared, writer).await {
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
    async fn shorten(&self, shared: &Shared, writer: &DatabaseConnection) -> Result<Duration, DbErr> {
        let used = checkpoint(writer, "NOOP").await?;
        if used.left >= WORTHWHILE_BYTES {
            shared.wanted.notify_one();
        }
        if !used.is_for_the_writer() {
            return Ok(LOOK_EVERY);
        }
        // Else two copy at once, of which SQLite refuses one.
        let patience = if used.bytes >= HUGE_BYTES {
            COPY_PATIENCE
        } else {
            Duration::ZERO
        };
        let Ok(_copying) = tokio::time::timeout(patience, shared.copying.lock()).await else {
            return Ok(LOOK_EVERY);
        };
        let used = checkpoint(writer, "PASSIVE").await?;
        Ok(if used.left == 0 {
            LOOK_EVERY
        } else {
            SNAPSHOT_PAUSE
        })
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Used {
    /// Whether the writer is to copy what is left: the log is large, and publishers do not wait long for it.
    const fn is_for_the_writer(self) -> bool {
        let most = match self.bytes {
            HUGE_BYTES.. => MUCH_BYTES,
            LARGE_BYTES.. => LITTLE_BYTES,
            _ => return false,
        };
        self.left <= most
    }
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

async fn copy_pages(connection: DatabaseConnection, log: PathBuf, shared: Arc<Shared>) {
    loop {
        // Whichever comes first.
        let _ = tokio::time::timeout(COPY_EVERY, shared.wanted.notified()).await;
        let size = tokio::fs::metadata(&log).await.map_or(0, |log| log.len());
        if size < WORTHWHILE_BYTES {
            continue;
        }
        let _copying = shared.copying.lock().await;
        if let Err(error) = checkpoint(&connection, "PASSIVE").await {
            shared.tell("the write-ahead log could not be copied", &error);
        }
    }
}

/// Runs a checkpoint of this mode, of which `NOOP` does nothing; returns what is in the log then.
async fn checkpoint(connection: &DatabaseConnection, mode: &str) -> Result<Used, DbErr> {
    let pragma = format!("PRAGMA wal_checkpoint({mode})");
    let statement = Statement::from_string(connection.get_database_backend(), pragma);
    let Some(row) = connection.query_one_raw(statement).await? else {
        return Err(DbErr::Custom("SQLite has no write-ahead log".to_owned()));
    };
    // Whether somebody else was at it, the frames of the log, and those copied (sqlite.org/pragma.html); -1 where
    // there is no log.
    let bytes = |frames: i64| u64::try_from(frames).unwrap_or(0) * FRAME_BYTES;
    let (frames, copied): (i64, i64) = (row.try_get_by_index(1)?, row.try_get_by_index(2)?);
    Ok(Used {
        bytes: bytes(frames),
        left: bytes(frames - copied),
    })
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
mod tests {
    use sea_orm::TransactionTrait as _;

    use super::*;
    use crate::journal::{scratch::Scratch, work_guard::WorkGuard};

    fn used(mib: u64, left: u64) -> Used {
        Used {
            bytes: mib * MIB,
            left: left * MIB,
        }
    }

    #[test]
    fn the_writer_copies_little_of_a_large_log_and_more_only_of_a_huge_one() {
        let cases = [
            (used(15, 0), false),
            (used(16, 8), true),
            (used(16, 9), false),
            (used(31, 9), false),
            (used(32, 32), true),
            (used(1_500, 48), true),
            (used(1_500, 49), false),
            (used(1_500, 0), true),
        ];
        for (used, expected) in cases {
            assert_eq!(used.is_for_the_writer(), expected, "{used:?}");
        }
    }

    /// Without the task, so that all depends on the writer.
    struct Tended {
        scratch: Scratch,
        writer: DatabaseConnection,
        log: WriteAheadLog,
    }

    impl Tended {
        async fn new() -> Self {
            let scratch = Scratch::sqlite();
            scratch.open().await.stop().await;
            let writer = scratch
                .settings()
                .url
                .writer("test", &WorkGuard::new(Clock))
                .await
                .unwrap();
            // A wait for a reader would be one for ever.
            writer
                .execute_unprepared("PRAGMA busy_timeout = 2000000000")
                .await
                .unwrap();
            writer
                .execute_unprepared("CREATE TABLE filler (bytes BLOB)")
                .await
                .unwrap();
            let copier = Copier {
                task: tokio::spawn(async {}),
                shared: Arc::default(),
            };
            let log = WriteAheadLog {
                copier: Some(copier),
                ..WriteAheadLog::default()
            };
            Self { scratch, writer, log }
        }

        /// Writes `mib` MiB, one by one, and looks after each; returns the most that was in the log.
        async fn write(&self, mib: usize) -> u64 {
            let mut most = 0;
            for _ in 0..mib {
                let insert = "INSERT INTO filler VALUES (randomblob(1000000))";
                self.writer.execute_unprepared(insert).await.unwrap();
                most = most.max(checkpoint(&self.writer, "NOOP").await.unwrap().bytes);
                self.log.tend(&self.writer).await;
            }
            most
        }
    }

    #[tokio::test]
    async fn the_writer_alone_starts_the_log_anew_again_and_again() {
        let tended = Tended::new().await;
        let most = tended.write(150).await;
        assert!((HUGE_BYTES..HUGE_BYTES + 2 * MIB).contains(&most), "{most} bytes");
    }

    #[tokio::test]
    async fn nobody_waits_for_a_reader_and_its_end_lets_the_log_be_short_again() {
        let tended = Tended::new().await;
        let reader = tended.scratch.client().await;
        let snapshot = reader.begin().await.unwrap();
        snapshot
            .execute_unprepared("SELECT count(*) FROM filler")
            .await
            .unwrap();
        let written = tokio::time::timeout(Duration::from_secs(60), tended.write(80)).await;
        assert!(written.expect("it does not wait for the reader") > BOUND_BYTES);
        snapshot.rollback().await.unwrap();
        // In the place of the task, which copies what is more than the writer may.
        checkpoint(&tended.writer, "PASSIVE").await.unwrap();
        tended.write(1).await;
        let file = std::fs::metadata(log_of(tended.scratch.settings().url.file().unwrap())).unwrap();
        assert!(
            file.len() <= BOUND_BYTES,
            "what was beyond the bound is cut off: {}",
            file.len()
        );
    }
}
