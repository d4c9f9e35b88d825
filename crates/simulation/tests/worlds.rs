//! The promises of the engine in simulated worlds.

use pointsman_simulation::{run, simulate};

const SEEDS: u64 = 1_000;
/// What is shown of a failing seed's history.
const LINES: usize = 300;

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().expect("it is a number"))
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
            "{}\nseed {seed} fails; alone: POINTSMAN_SIMULATION_SEED={seed} cargo test -p pointsman-simulation",
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
