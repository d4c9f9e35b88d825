//! Crashes at random moments: nothing acknowledged is lost, and little is repeated.

use pointsman_test_kit::{
    Engine,
    crash::{self, Campaign, Ending},
    on_both_engines,
};

on_both_engines! {
    ten_kills_at_random_moments_lose_nothing_and_repeat_at_most_the_windows,
    ordered_stops_under_load_lose_nothing_and_repeat_nothing,
    kills_during_the_first_start_leave_a_database_that_serves,
}

async fn ten_kills_at_random_moments_lose_nothing_and_repeat_at_most_the_windows(engine: Engine) {
    survive(engine, Ending::Kill, 10).await;
}

async fn ordered_stops_under_load_lose_nothing_and_repeat_nothing(engine: Engine) {
    survive(engine, Ending::Terminate, 4).await;
}

async fn kills_during_the_first_start_leave_a_database_that_serves(engine: Engine) {
    survive(engine, Ending::KillAtFirstStart, 8).await;
}

async fn survive(engine: Engine, ending: Ending, rounds: u32) {
    let seed = crash::seed();
    let tally = crash::run(Campaign {
        engine,
        ending,
        rounds,
        seed,
    })
    .await;
    assert!(tally.violations.is_empty(), "seed {seed}: {tally:#?}");
    assert!(
        tally.duplicates <= tally.duplicates_allowed,
        "seed {seed}: {tally:#?}"
    );
    // Some rounds end twice: also while the server starts.
    assert!(tally.kills >= u64::from(rounds), "seed {seed}: {tally:#?}");
    // A campaign that published nothing would prove nothing.
    assert!(
        tally.acknowledged >= u64::from(rounds) && tally.delivered >= tally.acknowledged,
        "seed {seed}: {tally:#?}"
    );
}
