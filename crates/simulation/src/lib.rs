//! A deterministic simulation of the whole engine above the edge to the machine.
//!
//! The real router with its actors, lanes and the real writer of the journal live on one thread, in virtual time, over
//! storage in memory and services that are functions. Everything follows from a seed: what publishers and admins do;
//! operations of the storage that are slow, fail, hang or have an unknown outcome; how services behave; panics of
//! actors, crashes of the process and jumps of the wall clock. A witness checks the promises of the engine after each
//! transaction and at each attempt. At the end there are no more faults, and after enough time nothing may be left
//! undone.
//!
//! A seed that fails is printed. To run it alone, with all that happened:
//! `POINTSMAN_SIMULATION_SEED=4711 cargo test -p pointsman-simulation`; to run more of them:
//! `POINTSMAN_SIMULATION_SEEDS=100000`, from `POINTSMAN_SIMULATION_FIRST_SEED` on.

mod driver;
mod panics;
mod script;
mod seeded_rng;
mod service;
mod service_mode;
mod storage;
mod tables;
mod trace;
mod witness;
mod world;
mod world_settings;

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

pub use self::{
    driver::{Report, simulate},
    witness::Totals,
};

/// Runs these seeds on all cores. Returns the totals of all of them, and the reports of those that failed.
pub fn run(seeds: Range<u64>) -> (Totals, Vec<Report>) {
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
