//! SQLite's write-ahead log, kept small off the commit path.
//!
//! A task with a connection of its own copies committed pages into the database file. It blocks neither the
//! writer nor readers, but the file is only started anew when it finds all of it copied: under a load that
//! never pauses that takes the writer, which by then has little left to copy.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sea_orm::{ConnectionTrait, DatabaseConnection};

use super::database::DatabaseUrl;

/// How often pages are copied.
const EVERY: Duration = Duration::from_millis(500);
/// A log smaller than this is left alone.
const WORTHWHILE_BYTES: u64 = 4 * 1024 * 1024;
/// A log larger than this is copied and started anew by the writer, between two batches.
const BOUND_BYTES: u64 = 64 * 1024 * 1024;

/// What the writer knows of the log's size.
#[derive(Debug, Default)]
pub(super) struct WriteAheadLog {
    /// Its size as the task last saw it; zero where the engine keeps its own.
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

    /// Whether it has grown beyond its bound.
    pub(super) fn is_too_large(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= BOUND_BYTES
    }

    /// Starts the log anew.
    pub(super) async fn start_anew(&self, writer: &DatabaseConnection) {
        self.bytes.store(0, Ordering::Relaxed);
        if let Err(error) = writer.execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)").await {
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
        if size >= WORTHWHILE_BYTES
            && let Err(error) = connection
                .execute_unprepared("PRAGMA wal_checkpoint(PASSIVE)")
                .await
        {
            log::warn!(error:%; "the write-ahead log could not be copied");
        }
        bytes.store(size, Ordering::Relaxed);
    }
}

fn log_of(database: PathBuf) -> PathBuf {
    let mut name = database.into_os_string();
    name.push("-wal");
    PathBuf::from(name)
}
