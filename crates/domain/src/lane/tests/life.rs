//! Events that a service refuses, or did not take while it was down, do not hold up its other events.

use proptest::prelude::*;

use super::{
    model::{self, Step},
    world::{Answer, BROKEN, BUSY, REFUSED},
    *,
};
use crate::{attempt::DeadLetterReason, lane::BreakerState};

const MINUTE: Duration = Duration::from_secs(60);

/// The breaker opens at the failure with this number.
fn breaking(failures: u32, delays: &[u64]) -> World {
    let mut config = config(256, 64);
    config.breaker_failures = Some(failures);
    config.initial_concurrency = 8;
    let delays = delays.iter().copied().map(Duration::from_secs).collect();
    config.schedule = RetrySchedule::new(delays, 0.2);
    World::new(config)
}

fn publish(world: &mut World, count: usize) {
    (0..count).for_each(|_| world.publish(true));
}

fn is_open(world: &World) -> bool {
    world.lane.snapshot().breaker != BreakerState::Closed
}

/// Lets this time pass in steps of a tenth of a second; the events up to `bad` fail, all others are taken.
fn live(world: &mut World, time: Duration, bad: i64) {
    let end = world.now + time;
    while world.now < end {
        world.pass(Duration::from_millis(100));
        world.answer_each(|delivery| answer(delivery.event.seq, bad));
    }
}

fn answer(seq: Seq, bad: i64) -> Answer {
    if seq <= Seq::new(bad) {
        BROKEN
    } else {
        DELIVERED.into()
    }
}

/// The breaker is open, and something is left to probe with.
fn opened() -> World {
    let mut world = breaking(2, &[60]);
    publish(&mut world, 20);
    world.answer_read(usize::MAX);
    (1..=8).for_each(|seq| world.finish_seq(seq, FAILED));
    world.pass(SECOND);
    assert!(is_open(&world) && world.in_flight.len() == 1);
    world
}

#[test]
fn a_4xx_is_no_failure_for_the_breaker_and_starts_the_count_anew() {
    let mut world = breaking(2, &[60]);
    publish(&mut world, 100);
    world.answer_all(|| REFUSED);
    assert_eq!((is_open(&world), world.rows.len()), (false, 100));

    publish(&mut world, 3);
    world.answer_read(usize::MAX);
    world.finish_seq(101, FAILED);
    world.finish_seq(102, REFUSED);
    world.finish_seq(103, FAILED);
    assert!(!is_open(&world));
}

#[test]
fn a_service_that_is_busy_is_in_trouble() {
    let mut world = breaking(2, &[60]);
    publish(&mut world, 2);
    world.answer_all(|| BUSY);
    assert!(is_open(&world));
}

#[test]
fn any_sign_of_life_closes_the_breaker() {
    let aborted = Answer {
        verdict: Verdict::GiveUp(DeadLetterReason::Aborted),
        status: 500,
    };
    for answer in [DELIVERED.into(), REFUSED, GONE.into(), aborted] {
        let mut world = opened();
        world.finish(0, answer);
        assert!(!is_open(&world));
        assert_eq!(world.in_flight.len(), world.lane.snapshot().concurrency);
    }
    for answer in [FAILED.into(), BUSY] {
        let mut world = opened();
        world.finish(0, answer);
        assert!(is_open(&world));
    }
    let mut world = opened();
    world.service_lives();
    assert!(!is_open(&world), "a test has succeeded");
}

#[test]
fn a_refusal_lets_no_more_attempts_run_at_a_time() {
    let mut world = breaking(20, &[60]);
    publish(&mut world, 30);
    world.answer_all(|| REFUSED);
    assert_eq!(world.lane.snapshot().concurrency, 8);
}

#[test]
fn the_letter_of_a_held_delivery_names_the_cause() {
    let mut config = config(256, 64);
    (config.breaker_failures, config.initial_concurrency) = (Some(2), 64);
    config.schedule = RetrySchedule::new(vec![MINUTE], 0.0);
    let mut world = World::new(config);
    publish(&mut world, 200);
    world.run_out(|| FAILED);
    let letter = |seq| world.letters[&whole(seq)].clone();
    let untried = letter(200);
    assert_eq!(
        (untried.reason, untried.attempts),
        (DeadLetterReason::BreakerOpen, 0)
    );
    let error = untried.last_error.unwrap();
    assert_eq!(
        error,
        "held by the open breaker since 1970-01-01T00:16:40.000Z: answered 503"
    );
    let tried = world
        .letters
        .values()
        .find(|letter| letter.reason == DeadLetterReason::BreakerOpen && letter.attempts == 1);
    let error = tried.unwrap().last_error.clone().unwrap();
    assert!(
        error.ends_with(": answered 503; its own last attempt: answered 503"),
        "{error}"
    );
}

/// The default schedule; one good event each second for four minutes.
#[test]
fn twenty_five_events_that_fail_do_not_stop_the_rest() {
    let mut world = breaking(20, &[5, 60, 300, 1_800, 7_200, 18_000, 36_000]);
    publish(&mut world, 25);
    live(&mut world, SECOND, 25);
    for _ in 0..240 {
        world.publish(true);
        live(&mut world, SECOND, 25);
    }
    live(&mut world, SECOND, 25);
    assert_eq!(world.received.len(), 240);
    assert!(world.letters.is_empty());
}

#[test]
fn with_a_short_schedule_no_good_event_dies_of_those_that_fail() {
    let mut world = breaking(20, &[1, 2, 4]);
    publish(&mut world, 25);
    live(&mut world, Duration::from_millis(500), 25);
    assert!(is_open(&world));
    publish(&mut world, 30);
    live(&mut world, 2 * SECOND, 25);
    assert_eq!(world.received.len(), 30);
    world.run_out_each(|delivery| answer(delivery.event.seq, 25));
    world.assert_everything_is_settled();
    let reasons: BTreeSet<_> = world
        .letters
        .values()
        .map(|letter| letter.reason.as_str())
        .collect();
    assert_eq!((world.letters.len(), reasons), (25, ["RETRIES_EXHAUSTED"].into()));
}

/// Far more than are in flight when the breaker opens, so that most of them are probes.
#[test]
fn hundreds_of_events_that_fail_in_a_row_kill_no_good_one_behind_them() {
    let mut world = breaking(20, &[1, 2, 4]);
    publish(&mut world, 300);
    live(&mut world, SECOND, 300);
    assert!(is_open(&world));
    publish(&mut world, 30);
    live(&mut world, 610 * SECOND, 300);
    assert_eq!(world.received.len(), 30);
    let reasons: BTreeSet<_> = world
        .letters
        .values()
        .map(|letter| letter.reason.as_str())
        .collect();
    assert!(reasons.is_subset(&["RETRIES_EXHAUSTED"].into()), "{reasons:?}");
}

/// Nothing but retries that fail again has come for long, so that the breaker's pause for them is long.
#[test]
fn after_a_quiet_time_with_nothing_but_failing_retries_the_next_event_is_probed_at_once() {
    let mut world = breaking(20, &[5, 60, 300, 1_800, 7_200, 18_000, 36_000]);
    publish(&mut world, 25);
    live(&mut world, 20 * MINUTE, 25);
    assert!(is_open(&world));
    world.publish(true);
    live(&mut world, Duration::from_millis(200), 25);
    assert_eq!(world.received.len(), 1);
}

#[test]
fn an_ordered_lane_probes_with_the_event_that_failed_and_no_other() {
    let mut world = breaking(2, &[1, 2, 60]);
    let limits = LaneLimits {
        concurrency: 1,
        ordered: true,
        rate_limit: None,
    };
    world.limit(limits);
    publish(&mut world, 3);
    live(&mut world, 5 * SECOND, 3);
    assert!(is_open(&world));
    assert_eq!(world.rows[&live_key(1)].attempts, 3);
    assert_eq!(world.rows.len(), 1, "the others wait for it");
    // Woken by the lane's own wishes alone.
    while world.received.len() < 3 {
        assert!(world.answer_all(|| DELIVERED) || world.wake_up());
    }
    assert!(world.letters.is_empty());
}

/// As after a machine was suspended, or after a pause: nothing is known of the service any more.
#[test]
fn nothing_is_given_up_before_a_probe_has_failed_that_comes_after_a_time_without_any() {
    for ordered in [true, false] {
        let mut world = breaking(2, &[1, 2, 60]);
        let limits = LaneLimits {
            concurrency: 1,
            ordered,
            rate_limit: None,
        };
        world.limit(limits);
        publish(&mut world, 30);
        live(&mut world, 5 * SECOND, 30);
        world.set_mode(LaneMode::Held { since: world.now });
        live(&mut world, 20 * MINUTE, 30);
        world.set_mode(LaneMode::Running);
        world.run_out(|| DELIVERED);
        world.assert_everything_is_settled();
        assert!(world.letters.is_empty(), "ordered: {ordered}");
    }
}

#[derive(Clone, Copy, Debug)]
struct Moment {
    handlers: usize,
    passes: Duration,
}

fn moment() -> impl Strategy<Value = Moment> {
    (model::handlers(), 0_u64..40_000).prop_map(|(handlers, millis)| Moment {
        handlers,
        passes: Duration::from_millis(millis),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(512)))]

    /// Whatever has happened before, and however short the schedule.
    #[test]
    fn what_is_published_once_the_service_is_well_is_delivered(
        config in model::config(),
        steps in prop::collection::vec(model::step(), 0..200),
        moments in prop::collection::vec(moment(), 1..20),
    ) {
        let mut world = World::new(config);
        steps.into_iter().for_each(|step: Step| model::take(&mut world, step));
        model::run_again(&mut world);
        world.answer_all(|| FAILED);
        world.is_well();
        let recovered = world.head();
        for Moment { handlers, passes } in moments {
            world.publish_to(handlers);
            world.pass(passes);
            world.answer_all(|| DELIVERED);
        }
        world.run_out(|| DELIVERED);
        world.assert_everything_is_settled();
        let died = world.letters.values().find(|letter| letter.event.seq > recovered);
        prop_assert!(died.is_none(), "{died:?}");
    }

    /// Of a service that takes most events, none that it would take is given up, however short the schedule.
    #[test]
    fn a_few_events_that_fail_kill_no_other(
        config in model::config(),
        moments in prop::collection::vec((moment(), prop::bool::weighted(0.4)), 1..60),
        answer in prop_oneof![Just(Answer::from(FAILED)), Just(BROKEN), Just(REFUSED), Just(BUSY)],
    ) {
        let mut world = World::new(LaneConfig {
            ordered: false,
            max_hold: Duration::from_secs(1_000_000),
            ..config
        });
        let mut bad = BTreeSet::new();
        let answer_to = |bad: &BTreeSet<Seq>, seq| match bad.contains(&seq) {
            true => answer.clone(),
            false => DELIVERED.into(),
        };
        for (Moment { passes, .. }, is_bad) in moments {
            world.publish(true);
            if is_bad && bad.len() < 25 {
                bad.insert(world.head());
            }
            world.pass(passes.min(SECOND));
            world.answer_each(|delivery| answer_to(&bad, delivery.event.seq));
        }
        world.run_out_each(|delivery| answer_to(&bad, delivery.event.seq));
        world.assert_everything_is_settled();
        let died = world.letters.values().find(|letter| !bad.contains(&letter.event.seq));
        prop_assert!(died.is_none(), "{died:?}");
    }
}
