//! The options and the environment of all scenarios.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    arguments::Sizes,
    database::{Engine, PostgresServer},
    fsync,
    latency::Latencies,
    progress::Progress,
};

/// The options and the environment of all scenarios.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) runs: u32,
    pub(crate) seconds: u64,
    pub(crate) sizes: Sizes,
    /// The folder of the report. SQLite databases are in it too.
    pub(crate) out: PathBuf,
    pub(crate) server: PathBuf,
    pub(crate) progress: Progress,
    pub(crate) postgres: Option<PostgresServer>,
}

impl Bench {
    pub(crate) fn postgres(&self) -> Result<&PostgresServer> {
        self.postgres.as_ref().context("no PostgreSQL server is known")
    }

    /// Measures how long the disk of this engine takes to make 4 KiB durable.
    pub(crate) fn fsync(&self, engine: Engine, lasting: Duration) -> Result<Latencies> {
        match engine {
            // The folder of a PostgreSQL that runs as another user cannot be written.
            Engine::Postgres => fsync::measure(self.postgres()?.folder.as_ref(), lasting)
                .or_else(|_| fsync::measure(&self.out, lasting)),
            Engine::Sqlite => fsync::measure(&self.out, lasting),
        }
    }

    /// The length of a run, without its warm-up.
    pub(crate) fn lasting(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}
