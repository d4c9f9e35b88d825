//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};

use crate::database::Engine;

/// Measures Pointsman over HTTP, and a minimal server of the same crates to compare it with.
///
/// Each scenario starts the release server with a database and receivers of its own. Tables are printed to standard
/// output, and written to a folder with charts and JSON.
#[derive(Debug, Parser)]
#[command(name = "pointsman-bench")]
pub(crate) struct Arguments {
    /// The scenarios to measure
    #[arg(value_enum, required = true)]
    scenarios: Vec<Scenario>,
    /// The database to measure on [default: sqlite; for `all`: both]
    #[arg(long, value_enum)]
    database: Option<EngineChoice>,
    /// Runs of each figure
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// Length of a run in seconds, after a second of warm-up
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: u64,
    /// Folder for the report, the charts and the databases [default: target/bench]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Server binary to measure [default: built from this source]
    #[arg(long, value_name = "PATH")]
    pub(crate) server: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) sizes: Sizes,
}

/// The sizes of some scenarios.
#[derive(Clone, Debug, Args)]
pub(crate) struct Sizes {
    /// Undelivered events of `backlog`, parked retries of `retries`, and old events of `pruning`
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) events: u64,
    /// Idle workspaces of `idle-workspaces` and `due`
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) idle: u64,
    /// Installations that hang, in `neighbour`
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) hanging: usize,
    /// Keep the breaker closed in `neighbour`, so that installations hang with all their concurrency all the time
    #[arg(long)]
    pub(crate) no_breaker: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Throughput and latency of publishes, by the number of connections
    Publish,
    /// The same load on a server that only parses, commits, answers and POSTs, and the ratios to it
    Ceiling,
    /// From publish to receipt, at a given rate
    Latency,
    /// 1, 10 and 100 subscribers of each event
    FanOut,
    /// Handlers in the process of the server
    InProcess,
    /// A healthy installation beside others that hang, in its workspace and in another
    Neighbour,
    /// Publishers of one workspace beside another workspace that publishes as fast as it can
    Flood,
    /// More publishers than the server admits
    Overload,
    /// A million undelivered events: their delivery, and their effect on another workspace
    Backlog,
    /// A million parked retries: their delivery, and their effect on another workspace
    Retries,
    /// The same load over 1, 100 and 10,000 workspaces
    Workspaces,
    /// Memory of 100,000 workspaces of which 100 are active
    IdleWorkspaces,
    /// Publish with up to ten million events stored
    Growth,
    /// Publish at a given rate while a million old events are deleted
    Pruning,
    /// A start with 100,000 idle workspaces and 1,000 in which an event is due
    Due,
    /// All of the above
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EngineChoice {
    Sqlite,
    Postgres,
    Both,
}

impl Arguments {
    /// The scenarios in the order in which they are measured.
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
            EngineChoice::Both
        } else {
            EngineChoice::Sqlite
        };
        match self.database.unwrap_or(without) {
            EngineChoice::Sqlite => &[Engine::Sqlite],
            EngineChoice::Postgres => &[Engine::Postgres],
            EngineChoice::Both => &[Engine::Sqlite, Engine::Postgres],
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn all_is_every_scenario_once_on_both_databases() {
        let all = Arguments::parse_from(["bench", "all", "publish"]);
        assert_eq!(all.scenarios().len(), Scenario::value_variants().len() - 1);
        assert_eq!(all.engines(), [Engine::Sqlite, Engine::Postgres]);
    }

    #[test]
    fn the_script_names_every_scenario_and_every_option() {
        let script = include_str!("../../scripts/bench");
        let words: Vec<&str> = script
            .split(|character: char| !character.is_ascii_alphanumeric() && character != '-')
            .collect();
        let scenarios = Scenario::value_variants().iter();
        let scenarios =
            scenarios.filter_map(|scenario| Some(scenario.to_possible_value()?.get_name().to_owned()));
        let command = Arguments::command();
        let options = command
            .get_opts()
            .filter_map(|option| Some(format!("--{}", option.get_long()?)));
        for name in scenarios.chain(options) {
            assert!(words.contains(&name.as_str()), "{name}");
        }
    }
}
