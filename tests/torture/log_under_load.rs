//! SQLite's write-ahead log under a load that never pauses.

use pointsman_test_kit::{BOUND, Engine, LogWatch, MIB, TestApp};

/// Events in each of six workspaces for each round that was asked for: 120,000 in all for 200 rounds.
const EVENTS_PER_ROUND: usize = 100;

/// Publishes, and says how large the log has become; false where that was more than is promised.
#[expect(
    clippy::print_stdout,
    reason = "the answer of a trial is for the person at the terminal"
)]
pub(crate) async fn stays_short(rounds: u32) -> bool {
    let app = TestApp::start(Engine::Sqlite).await;
    let log = LogWatch::of(&app);
    let events = usize::try_from(rounds)
        .unwrap_or(usize::MAX)
        .saturating_mul(EVENTS_PER_ROUND);
    let workspaces = log.under_load(&app, events).await;
    app.finish().await;
    let (largest, bound) = (log.largest() / MIB, BOUND / MIB);
    let published = workspaces.len() * events;
    println!("\n| write-ahead log under load | events | largest, MiB | bound, MiB |");
    println!("| --- | --- | --- | --- |");
    println!("| SQLite | {published} | {largest} | {bound} |");
    let stayed = log.largest() <= BOUND && log.largest() > MIB;
    if !stayed {
        println!("BROKEN: the write-ahead log was {largest} MiB large, of {bound} MiB that it may have");
    }
    stayed
}
