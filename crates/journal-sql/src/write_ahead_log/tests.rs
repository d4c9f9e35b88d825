//! When the writer copies the log, and when the log is restarted.

use futures_util::FutureExt as _;
use sea_orm::TransactionTrait as _;

use super::{log_size::BOUND_BYTES, *};
use crate::{tests::kit::Scratch, work_guard::WorkGuard};

fn used(mib: u64, left: u64) -> LogSize {
    LogSize {
        bytes: mib * MIB,
        left: left * MIB,
    }
}

#[test]
fn the_writer_copies_little_of_a_large_log_and_more_only_of_a_huge_one() {
    let cases = [
        (used(21, 0), false),
        (used(22, 8), true),
        (used(22, 9), false),
        (used(31, 9), false),
        (used(32, 32), true),
        (used(1_500, 48), true),
        (used(1_500, 49), false),
        (used(1_500, 0), true),
    ];
    for (used, expected) in cases {
        assert_eq!(should_writer_copy(used, false), expected, "{used:?}");
    }
}

/// A log without its task, so that only the writer copies.
struct LogWithoutTask {
    scratch: Scratch,
    writer: DatabaseConnection,
    log: WriteAheadLog,
}

impl LogWithoutTask {
    async fn new() -> Self {
        let scratch = Scratch::sqlite();
        scratch.open().await.stop().await;
        let writer = scratch
            .settings()
            .url
            .writer("test", &WorkGuard::new(Clock))
            .await
            .unwrap();
        // A writer that waited for a reader would wait for the whole test.
        writer
            .execute_unprepared("PRAGMA busy_timeout = 2000000000")
            .await
            .unwrap();
        writer
            .execute_unprepared("CREATE TABLE filler (bytes BLOB)")
            .await
            .unwrap();
        let checkpointer = Checkpointer {
            task: tokio::spawn(async {}),
            shared: Arc::default(),
        };
        let log = WriteAheadLog {
            checkpointer: Some(checkpointer),
            ..WriteAheadLog::default()
        };
        Self { scratch, writer, log }
    }

    async fn tend(&self) {
        self.log.tend(|mode| checkpoint(&self.writer, mode).boxed()).await;
    }

    /// Writes `mib` transactions of 1 MB and tends the log after each. Returns the largest size of the log.
    async fn write(&self, mib: usize) -> u64 {
        let mut most = 0;
        for _ in 0..mib {
            let insert = "INSERT INTO filler VALUES (randomblob(1000000))";
            self.writer.execute_unprepared(insert).await.unwrap();
            most = most.max(
                checkpoint(&self.writer, CheckpointMode::Noop)
                    .await
                    .unwrap()
                    .bytes,
            );
            self.tend().await;
        }
        most
    }
}

#[test]
fn while_readers_wait_the_writer_copies_more() {
    assert!(should_writer_copy(used(17, 17), true));
    assert!(!should_writer_copy(used(64, 49), true));
}

#[tokio::test]
async fn the_writer_alone_starts_the_log_anew_again_and_again() {
    let tended = LogWithoutTask::new().await;
    let most = tended.write(150).await;
    assert!((HUGE_BYTES..HUGE_BYTES + 2 * MIB).contains(&most), "{most} bytes");
}

#[tokio::test]
async fn the_writer_does_not_wait_for_a_copy_that_takes_its_time() {
    let tended = LogWithoutTask::new().await;
    let checkpointer = tended.log.checkpointer.as_ref().unwrap();
    let checkpointing = checkpointer.shared.checkpointing.lock().await;
    let written = tokio::time::timeout(Duration::from_secs(60), tended.write(40)).await;
    assert!(written.expect("it goes on without") > HUGE_BYTES);
    drop(checkpointing);
    assert!(tended.write(1).await > HUGE_BYTES);
    let left = checkpoint(&tended.writer, CheckpointMode::Noop)
        .await
        .unwrap()
        .left;
    assert_eq!(left, 0, "and copies all once it can");
}

#[tokio::test]
async fn after_a_look_that_did_not_end_the_next_one_waits() {
    let tended = LogWithoutTask::new().await;
    assert!(tended.log.is_due());
    // It occupies the writer's only connection.
    let transaction = tended.writer.begin().await.unwrap();
    let look = tended.tend();
    let ended = tokio::time::timeout(Duration::from_millis(20), look).await;
    assert!(ended.is_err());
    transaction.rollback().await.unwrap();
    let next_check = lock(&tended.log.next_check).unwrap();
    let pause = next_check.saturating_duration_since(Clock.instant());
    assert!(pause > SLOW_PAUSE / 2, "{pause:?}");
}

#[tokio::test]
async fn nobody_waits_for_a_reader_and_its_end_lets_the_log_be_short_again() {
    let tended = LogWithoutTask::new().await;
    let reader = tended.scratch.client().await;
    let snapshot = reader.begin().await.unwrap();
    snapshot
        .execute_unprepared("SELECT count(*) FROM filler")
        .await
        .unwrap();
    let written = tokio::time::timeout(Duration::from_secs(60), tended.write(80)).await;
    assert!(written.expect("it does not wait for the reader") > BOUND_BYTES);
    snapshot.rollback().await.unwrap();
    // As the task does: the rest is more than the writer copies.
    checkpoint(&tended.writer, CheckpointMode::Passive).await.unwrap();
    tended.write(1).await;
    let file = std::fs::metadata(log_path(tended.scratch.settings().url.file().unwrap())).unwrap();
    assert!(
        file.len() <= BOUND_BYTES,
        "what was beyond the bound is cut off: {}",
        file.len()
    );
}
