//! A server on SQLite under full load for as long as one likes, with a retention so short that what it keeps for a
//! month passes many times.
//!
//! `scripts/soak` runs it. It prints a line for each minute and a verdict, and fails where the memory or the file
//! grows, the write-ahead log is longer than promised, or anything acknowledged is lost.

mod event;
mod ledger;
mod numbers;
mod publishers;
mod receivers;
mod samples;
mod trial;
mod verdict;

use std::{process::ExitCode, time::Duration};

use clap::Parser;

/// Publishes as fast as the server records and delivers, and watches what grows.
#[derive(Debug, Parser)]
struct CommandLine {
    /// Length of the load. What grows is judged from 10 minutes on.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    minutes: u64,
}

fn main() -> ExitCode {
    let asked = CommandLine::parse();
    let lasting = Duration::from_secs(asked.minutes * 60);
    let broken = actix_web::rt::System::new().block_on(trial::run(lasting));
    line("");
    for what in &broken {
        line(&format!("BROKEN: {what}"));
    }
    if broken.is_empty() {
        line("Nothing of what was judged is broken.");
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[expect(clippy::print_stdout, reason = "the table is for the person at the terminal")]
fn line(text: &str) {
    println!("{text}");
}
