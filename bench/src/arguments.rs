//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::database::Engine;

/// Measures Pointsman over HTTP, and beside it the least that its crates allow.
///
/// It starts the release server with a database of its own and receivers of its own. Tables go to standard output,
/// and with charts and JSON into a folder.
#[derive(Debug, Parser)]
#[command(name = "pointsman-bench")]
pub(crate) struct Arguments {
    /// What to measure
    #[arg(value_enum, required = true)]
    scenarios: Vec<Scenario>,
    /// What to measure it on; without it, SQLite, and for `all` both
    #[arg(long, value_enum)]
    database: Option<Databases>,
    /// Runs of each figure
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// Length of a run, after a second of warm-up
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: u64,
    /// Folder for the report, the charts and the databases; without it, `bench` in the target folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Another server than that of this source
    #[arg(long, value_name = "PATH")]
    pub(crate) server: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Throughput and latency by connections
    Publish,
    /// The ratios to a server that does nothing but parse, commit, answer and POST
    Ceiling,
    /// Publish to receive, at a given rate
    Latency,
    /// Subscribers per event
    FanOut,
    /// Handlers in the process
    InProcess,
    /// Beside installations that hang
    Neighbour,
    /// A million events after an outage
    Backlog,
    /// The same load over many workspaces
    Workspaces,
    /// With up to ten million events stored
    Growth,
    /// All of them
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Databases {
    Sqlite,
    Postgres,
    Both,
}

impl Arguments {
    /// In the order in which they are measured.
    pub(crate) fn scenarios(&self) -> Vec<Scenario> {
        let all = self.scenarios.contains(&Scenario::All);
        let chosen = |scenario: &&Scenario| all || self.scenarios.contains(scenario);
        Scenario::value_variants()
            .iter()
            .filter(|scenario| **scenario != Scenario::All)
            .filter(chosen)
            .copied()
            .collect()
    }

    pub(crate) fn engines(&self) -> &'static [Engine] {
        let without = if self.scenarios.contains(&Scenario::All) {
            Databases::Both
        } else {
            Databases::Sqlite
        };
        match self.database.unwrap_or(without) {
            Databases::Sqlite => &[Engine::Sqlite],
            Databases::Postgres => &[Engine::Postgres],
            Databases::Both => &[Engine::Sqlite, Engine::Postgres],
        }
    }
}
