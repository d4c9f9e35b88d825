//! SQLite's write-ahead log, kept small off the commit path.
//!
//! A task with a connection of its own copies committed pages into the database file. It blocks neither the
//! writer nor readers, but the log is only started anew when all of it is found copied: under a load that never
//! pauses that takes the writer, between two batches, which by then has little left to copy. The file is not cut
//! off: pages that are written over are on the disk sooner than those that make a file longer.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, Statement};

use super::database::DatabaseUrl;

/// How often pages are copied.
const EVERY: Duration = Duration::from_millis(500);
/// A file smaller than this is left alone.
const WORTHWHILE_BYTES: u64 = 4 * 1024 * 1024;
/// Of a log larger than this the writer copies what is left, and waits for nobody.
const LARGE_BYTES: u64 = 16 * 1024 * 1024;
/// For a log larger than this the writer waits until no reader needs it any more.
const BOUND_BYTES: u64 = 64 * 1024 * 1024;
/// A page, and the header of its frame.
const FRAME_BYTES: u64 = 4096 + 24;

/// What the writer knows of the log's size.
#[derive(Debug, Default)]
pub(super) struct WriteAheadLog {
    /// How much of it is in use, as the task last saw it; zero where the engine keeps its own.
    bytes: Arc<AtomicU64>,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl WriteAheadLog {
    /// Starts the task where the engine is SQLite. Call it on the journal's runtime.
    pub(super) fn keep(url: &DatabaseUrl) -> Self {
        let (Some(file), Some(connection)) = (url.file(), url.checkpointer()) else {
            return Self::default();
        };
        let bytes = Arc::<AtomicU64>::default();
        let task = tokio::spawn(copy_pages(connection, log_of(file), Arc::clone(&bytes)));
        Self {
            bytes,
            task: Some(task),
        }
    }

    /// Stops the task.
    pub(super) fn stop(&self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }

    /// Whether the writer has to see to it.
    pub(super) fn is_large(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= LARGE_BYTES
    }

    /// Copies what is left, so that the next write starts the log anew.
    pub(super) async fn start_anew(&self, writer: &DatabaseConnection) {
        let copy = if self.bytes.swap(0, Ordering::Relaxed) < BOUND_BYTES {
            "PRAGMA wal_checkpoint(PASSIVE)"
        } else {
            "PRAGMA wal_checkpoint(RESTART)"
        };
        if let Err(error) = writer.execute_unprepared(copy).await {
            log::warn!(error:%; "the write-ahead log could not be started anew");
        }
    }
}

impl Drop for WriteAheadLog {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn copy_pages(connection: DatabaseConnection, log: PathBuf, bytes: Arc<AtomicU64>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let size = tokio::fs::metadata(&log).await.map_or(0, |log| log.len());
        if size < WORTHWHILE_BYTES {
            continue;
        }
        match copy(&connection).await {
            Ok(used) => bytes.store(used, Ordering::Relaxed),
            Err(error) => log::warn!(error:%; "the write-ahead log could not be copied"),
        }
    }
}

/// How much of the log is in use and will not be written over with the next write.
async fn copy(connection: &DatabaseConnection) -> Result<u64, DbErr> {
    let statement = Statement::from_string(
        connection.get_database_backend(),
        "PRAGMA wal_checkpoint(PASSIVE)",
    );
    let Some(row) = connection.query_one_raw(statement).await? else {
        return Ok(0);
    };
    // Whether somebody else was at it, the frames of the log, and those copied (sqlite.org/pragma.html).
    let (frames, copied): (i64, i64) = (row.try_get_by_index(1)?, row.try_get_by_index(2)?);
    let frames = if frames == copied { 0 } else { frames };
    Ok(u64::try_from(frames).unwrap_or(0) * FRAME_BYTES)
}

fn log_of(database: PathBuf) -> PathBuf {
    let mut name = database.into_os_string();
    name.push("-wal");
    PathBuf::from(name)
}
