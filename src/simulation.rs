//! A deterministic simulation of the whole engine above the edge to the machine.
//!
//! The real router with its actors, lanes and the real writer of the journal live on one thread, in virtual time,
//! over storage in memory and services that are functions. Everything that happens follows from a seed: publishers
//! and admins, slow and failing and hanging and doubtful operations of the storage, services of every temper,
//! panics of actors, crashes of the process and jumps of the wall clock. A witness checks after each transaction
//! and at each attempt what the engine promises, and at the end, when there was peace for long enough, that
//! nothing is left undone.
//!
//! A seed that fails is printed. To run it alone, with all that happened:
//! `POINTSMAN_SIMULATION_SEED=4711 cargo test --lib simulation::`; to run more of them:
//! `POINTSMAN_SIMULATION_SEEDS=100000`, from `POINTSMAN_SIMULATION_FIRST_SEED` on.

mod dice;
mod driver;
mod script;
mod service;
mod shape;
mod storage;
mod tables;
mod trace;
mod witness;
mod world;

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use driver::{Report, simulate};
use witness::Totals;

const SEEDS: u64 = 1_000;
/// What is shown of a failing seed's history.
const LINES: usize = 300;

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().expect("it is a number"))
}

/// What came of these seeds, on all cores: of all together, and of those that failed.
fn run(seeds: Range<u64>) -> (Totals, Vec<Report>) {
    let next = AtomicU64::new(seeds.start);
    let worker = || {
        let (mut totals, mut failed) = (Totals::default(), Vec::new());
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || failed.len() >= 5 {
                return (totals, failed);
            }
            let report = simulate(seed, false);
            totals.add(report.totals);
            if !report.violations.is_empty() {
                failed.push(report);
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        let (mut totals, mut failed) = (Totals::default(), Vec::new());
        for worker in workers {
            let (its_totals, its_failed) = worker.join().expect("a worker does not panic");
            totals.add(its_totals);
            failed.extend(its_failed);
        }
        (totals, failed)
    })
}

/// The last of what happened in the world of this seed.
fn history(seed: u64) -> String {
    let report = simulate(seed, true);
    let lines = match variable("POINTSMAN_SIMULATION_LINES") {
        Some(lines) => usize::try_from(lines).unwrap_or(usize::MAX),
        None => LINES,
    };
    let from = report.lines.len().saturating_sub(lines);
    format!("{}\n{:#?}", report.lines[from..].join("\n"), report.violations)
}

#[test]
#[expect(clippy::print_stdout, reason = "the long run is read by a person")]
fn no_seed_breaks_a_promise() {
    if let Some(seed) = variable("POINTSMAN_SIMULATION_SEED") {
        let report = simulate(seed, false);
        assert!(report.violations.is_empty(), "seed {seed}:\n{}", history(seed));
        return;
    }
    let first = variable("POINTSMAN_SIMULATION_FIRST_SEED").unwrap_or(0);
    let count = variable("POINTSMAN_SIMULATION_SEEDS").unwrap_or(SEEDS);
    let (totals, failed) = run(first..first + count);
    println!("{count} seeds from {first}: {totals:?}");
    if let Some(report) = failed.first() {
        for report in &failed {
            println!("seed {} fails: {}", report.seed, report.violations.join("; "));
        }
        let seed = report.seed;
        panic!(
            "{}\nseed {seed} fails; alone: POINTSMAN_SIMULATION_SEED={seed} cargo test --lib simulation::",
            history(seed)
        );
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in 0..20 {
        let (first, second) = (simulate(seed, false), simulate(seed, false));
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first.totals, second.totals, "seed {seed}");
    }
}
