//! What every scenario needs to know.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    arguments::Sizes,
    database::{Engine, PostgresServer},
    fsync,
    latency::Latencies,
    progress::Progress,
};

/// What every scenario needs to know.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) runs: u32,
    pub(crate) seconds: u64,
    pub(crate) sizes: Sizes,
    /// Databases are made there too, so that they are on the disk of the source.
    pub(crate) out: PathBuf,
    pub(crate) server: PathBuf,
    pub(crate) progress: Progress,
    pub(crate) postgres: Option<PostgresServer>,
}

impl Bench {
    pub(crate) fn postgres(&self) -> Result<&PostgresServer> {
        self.postgres.as_ref().context("there is no PostgreSQL")
    }

    /// What the disk takes where this engine writes.
    pub(crate) fn fsync(&self, engine: Engine, lasting: Duration) -> Result<Latencies> {
        match engine {
            // The server's folder is its own where it runs as another user.
            Engine::Postgres => fsync::measure(self.postgres()?.folder.as_ref(), lasting)
                .or_else(|_| fsync::measure(&self.out, lasting)),
            Engine::Sqlite => fsync::measure(&self.out, lasting),
        }
    }

    /// The length of a run.
    pub(crate) fn lasting(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}
