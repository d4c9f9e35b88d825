//! What is measured while the load goes on.

use std::time::Duration;

use pointsman_test_kit::{MIB, TestApp};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, Statement};

use crate::{line, publishers::Publishers};

/// What grows, at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Duration,
    pub(crate) resident: u64,
    pub(crate) file: u64,
}

/// The file of the database, in bytes.
#[derive(Clone, Copy, Debug)]
struct Pages {
    used: i64,
    free: i64,
}

/// Reads the database of the server from outside.
pub(crate) struct Watch<'a> {
    pub(crate) app: &'a TestApp,
    pub(crate) database: DatabaseConnection,
}

impl Watch<'_> {
    /// The length of the write-ahead log.
    pub(crate) fn log_bytes(&self) -> u64 {
        let file = self.app.folder().join("pointsman.db-wal");
        std::fs::metadata(file).map_or(0, |file| file.len())
    }

    pub(crate) fn sample(&self, at: Duration) -> Sample {
        let file = self.app.folder().join("pointsman.db");
        Sample {
            at,
            resident: self.app.resident_bytes(),
            file: std::fs::metadata(file).map_or(0, |file| file.len()),
        }
    }

    async fn pages(&self) -> Pages {
        let size = self.number("PRAGMA page_size").await;
        let (all, free) = (
            self.number("PRAGMA page_count").await,
            self.number("PRAGMA freelist_count").await,
        );
        Pages {
            used: (all - free) * size,
            free: free * size,
        }
    }

    /// Events that retention has deleted.
    async fn deleted(&self) -> i64 {
        self.number("SELECT COALESCE(SUM(pruned_through), 0) FROM workspace_log")
            .await
    }

    async fn number(&self, sql: &str) -> i64 {
        let asked = Statement::from_string(DbBackend::Sqlite, sql);
        let row = self.database.query_one_raw(asked).await;
        let row = row.expect("the database can be read").expect("a row");
        row.try_get_by_index(0).expect("a number")
    }
}

/// The lines of the table.
#[derive(Debug, Default)]
pub(crate) struct Table {
    published: u64,
    deleted: i64,
}

const MEBIBYTE: i64 = 1024 * 1024;

impl Table {
    pub(crate) fn head() {
        line("");
        line(
            "| minute | RSS, MiB | largest log, MiB | used, MiB | free, MiB | published | deleted | undelivered \
             | p50, ms | p99, ms |",
        );
        line("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    }

    /// Writes the line of a minute, in which the log was at most so long.
    pub(crate) async fn minute(
        &mut self,
        watch: &Watch<'_>,
        publishers: &Publishers,
        minute: usize,
        log: u64,
        delivered: u64,
    ) {
        let (pages, deleted) = (watch.pages().await, watch.deleted().await);
        let published = publishers.acknowledged.count();
        let mut latencies = publishers.take_latencies();
        latencies.sort_unstable();
        line(&format!(
            "| {minute} | {} | {} | {} | {} | {} | {} | {} | {:.1} | {:.1} |",
            watch.app.resident_bytes() / MIB,
            log / MIB,
            pages.used / MEBIBYTE,
            pages.free / MEBIBYTE,
            published - self.published,
            deleted - self.deleted,
            published.saturating_sub(delivered),
            percentile(&latencies, 50),
            percentile(&latencies, 99),
        ));
        (self.published, self.deleted) = (published, deleted);
    }
}

/// In milliseconds; zero where nothing was measured.
fn percentile(sorted: &[Duration], of_hundred: usize) -> f64 {
    let place = (sorted.len() * of_hundred / 100).min(sorted.len().saturating_sub(1));
    sorted.get(place).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}
