//! Crashes for as long as one likes: the campaigns of the suite, many times over.
//!
//! `scripts/torture` runs it, and the simulation beside it. It prints a table and fails where anything was lost,
//! where more was repeated than the windows allow, or where anything else was found that must not be.

mod log_under_load;
mod part;
mod table;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use self::{part::Part, table::Row};
use pointsman_test_kit::{
    Engine,
    crash::{self, Campaign, Ending, Tally},
};

/// Rounds of one campaign. What was published is held in memory until its end, and read back then.
const CAMPAIGN: u32 = 25;

/// Kills the server at random moments: under load, during its first start, while it migrates, prunes or is backed up;
/// and looks whether anything was lost.
#[derive(Debug, Parser)]
struct CommandLine {
    /// Rounds with SIGKILL under load on each database. A quarter as many are first starts and lives in which events
    /// are deleted, a tenth as many ordered stops, a twentieth as many migrations and backups.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    #[arg(long, value_enum, default_value = "both")]
    database: Database,
    /// What is run.
    #[arg(long, value_enum, default_value = "all")]
    part: Part,
    /// Seed of the first campaign; the others count on from it. Drawn where it is not given
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Database {
    Sqlite,
    Postgres,
    Both,
}

impl Database {
    fn engines(self) -> &'static [Engine] {
        match self {
            Self::Sqlite => &[Engine::Sqlite],
            Self::Postgres => &[Engine::Postgres],
            Self::Both => &[Engine::Sqlite, Engine::Postgres],
        }
    }
}

fn main() -> ExitCode {
    let asked = CommandLine::parse();
    let mut next_seed = asked.seed.unwrap_or_else(crash::seed);
    let mut rows = Vec::new();
    for engine in asked.database.engines() {
        for (ending, rounds) in asked.part.endings(*engine, asked.rounds) {
            rows.push(endure(*engine, ending, rounds, &mut next_seed));
        }
    }
    table::print(&rows);
    let log_is_short = !asked.part.has_log()
        || !asked.database.engines().contains(&Engine::Sqlite)
        || actix_web::rt::System::new().block_on(log_under_load::stays_short(asked.rounds));
    if log_is_short && rows.iter().all(Row::is_clean) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs so many rounds, in campaigns with a server and a database of their own.
fn endure(engine: Engine, ending: Ending, rounds: u32, next_seed: &mut u64) -> Row {
    let mut row = Row::new(engine, ending, *next_seed);
    let mut left = rounds;
    while left > 0 {
        let campaign = Campaign {
            engine,
            ending,
            rounds: left.min(CAMPAIGN),
            seed: *next_seed,
        };
        let tally: Tally = actix_web::rt::System::new().block_on(crash::run(campaign));
        row.add(campaign, tally);
        left -= campaign.rounds;
        *next_seed += 1;
    }
    row
}
