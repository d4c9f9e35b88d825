//! A lane in a [`World`] in which anything may happen at any time.

use std::time::Duration;

use proptest::prelude::*;

use super::world::{Answer, BROKEN, BUSY, FAILED, GONE, REFUSED, World};
use crate::{
    attempt::{DeadLetterReason, Verdict},
    lane::{LaneConfig, LaneLimits, LaneMode},
    retry_schedule::RetrySchedule,
};

#[derive(Clone, Debug)]
pub(super) enum Step {
    Publish { handlers: usize, times: usize },
    PublishCorrupt,
    AnswerRead { page: usize },
    SnapshotRetries,
    AnswerRetries,
    Finish { which: usize, answer: Answer },
    ApplySettlement,
    TellSettled,
    ApplyLetter { which: usize },
    TellLetter { which: usize },
    Replay { which: usize },
    TellReplay,
    Pass(Duration),
    Tick,
    Hold,
    Resume,
    Drain,
    Limit(LaneLimits),
    ResetBreaker,
    ServiceLives,
    Crash { luck: u32 },
    Panic { luck: u32 },
    PanicAtEnd { which: usize, answer: Answer, luck: u32 },
    AnswerAll(Answer),
}

fn answer() -> impl Strategy<Value = Answer> {
    let aborted = Answer {
        verdict: Verdict::GiveUp(DeadLetterReason::Aborted),
        status: 500,
    };
    prop_oneof![
        4 => Just(Verdict::Delivered.into()),
        4 => Just(FAILED.into()),
        1 => (0_u64..5).prop_map(|secs| Verdict::Retry { retry_after: Some(Duration::from_secs(secs)) }.into()),
        1 => Just(GONE.into()),
        1 => Just(REFUSED),
        1 => Just(BUSY),
        1 => Just(BROKEN),
        1 => Just(aborted),
    ]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let which = 0_usize..64;
    prop_oneof![
        8 => (handlers(), 1_usize..8).prop_map(|(handlers, times)| Step::Publish { handlers, times }),
        1 => Just(Step::PublishCorrupt),
        6 => (1_usize..9).prop_map(|page| Step::AnswerRead { page }),
        2 => Just(Step::SnapshotRetries),
        4 => Just(Step::AnswerRetries),
        16 => (which.clone(), answer()).prop_map(|(which, answer)| Step::Finish { which, answer }),
        3 => Just(Step::ApplySettlement),
        7 => Just(Step::TellSettled),
        2 => which.clone().prop_map(|which| Step::ApplyLetter { which }),
        4 => which.clone().prop_map(|which| Step::TellLetter { which }),
        3 => which.clone().prop_map(|which| Step::Replay { which }),
        3 => Just(Step::TellReplay),
        6 => (0_u64..3_000).prop_map(|millis| Step::Pass(Duration::from_millis(millis))),
        1 => Just(Step::Tick),
        1 => Just(Step::Hold),
        2 => Just(Step::Resume),
        1 => Just(Step::Drain),
        1 => limits().prop_map(Step::Limit),
        1 => Just(Step::ResetBreaker),
        1 => Just(Step::ServiceLives),
        1 => any::<u32>().prop_map(|luck| Step::Crash { luck }),
        1 => any::<u32>().prop_map(|luck| Step::Panic { luck }),
        1 => (which, answer(), any::<u32>())
            .prop_map(|(which, answer, luck)| Step::PanicAtEnd { which, answer, luck }),
        1 => answer().prop_map(Step::AnswerAll),
    ]
}

/// Events are not due, due to the extension as a whole, or to several handlers.
pub(super) fn handlers() -> impl Strategy<Value = usize> {
    prop_oneof![3 => Just(0), 3 => Just(1), 2 => 2_usize..5]
}

fn limits() -> impl Strategy<Value = LaneLimits> {
    let rate_limit = prop_oneof![3 => Just(None), 1 => (1_u32..30).prop_map(Some)];
    (1_usize..7, prop::bool::weighted(0.3), rate_limit).prop_map(|(concurrency, ordered, rate_limit)| {
        LaneLimits {
            concurrency,
            ordered,
            rate_limit,
        }
    })
}

pub(super) fn config() -> impl Strategy<Value = LaneConfig> {
    let delays = prop::collection::vec((100_u64..20_000).prop_map(Duration::from_millis), 0..4);
    let breaker = prop::option::of(1_u32..6);
    let parts = (
        1_usize..9,
        1_usize..4,
        delays,
        breaker,
        0_u64..20,
        limits(),
        prop_oneof![Just(0), 1_u64..200],
    );
    parts.prop_map(
        |(window, initial, delays, breaker_failures, max_hold, limits, settle_after)| LaneConfig {
            window,
            concurrency: limits.concurrency,
            initial_concurrency: initial,
            schedule: RetrySchedule::new(delays, 0.1),
            attempt_timeout: Duration::from_secs(3),
            settle_after: Duration::from_millis(settle_after),
            straggler_after: Duration::from_secs(1),
            lazy_cursor_every: Duration::from_secs(1),
            breaker_failures,
            max_hold: Duration::from_secs(max_hold),
            ordered: limits.ordered,
            rate_limit: limits.rate_limit,
        },
    )
}

/// A coin that falls as the bits say.
fn coin(mut bits: u32) -> impl FnMut() -> bool {
    move || {
        bits = bits.rotate_left(1);
        bits & 1 == 1
    }
}

pub(super) fn take(world: &mut World, step: Step) {
    match step {
        Step::Publish { handlers, times } => (0..times).for_each(|_| world.publish_to(handlers)),
        Step::PublishCorrupt => world.publish_corrupt(),
        Step::AnswerRead { page } => drop(world.answer_read(page)),
        Step::SnapshotRetries => world.snapshot_retries(),
        Step::AnswerRetries => drop(world.answer_retries()),
        Step::Finish { which, answer } => drop(world.finish(which, answer)),
        Step::ApplySettlement => world.apply_settlement(),
        Step::TellSettled => drop(world.tell_settled()),
        Step::ApplyLetter { which } => world.apply_letter(which),
        Step::TellLetter { which } => drop(world.tell_letter(which)),
        Step::Replay { which } => world.replay(which),
        Step::TellReplay => drop(world.tell_replay()),
        Step::Pass(duration) => world.pass(duration),
        Step::Tick => world.tick(),
        Step::Hold if world.mode == LaneMode::Running => world.set_mode(LaneMode::Held { since: world.now }),
        Step::Resume if matches!(world.mode, LaneMode::Held { .. }) => world.set_mode(LaneMode::Running),
        Step::Hold | Step::Resume => {}
        Step::Drain => world.set_mode(LaneMode::Draining),
        Step::Limit(limits) => world.limit(limits),
        Step::ResetBreaker => world.reset_breaker(),
        Step::ServiceLives => world.service_lives(),
        Step::Crash { luck } => world.crash(coin(luck)),
        Step::Panic { luck } => world.panic(coin(luck)),
        Step::PanicAtEnd { which, answer, luck } => world.panic_at_end(which, answer, coin(luck)),
        Step::AnswerAll(answer) => drop(world.answer_all(|| answer.clone())),
    }
    // A process that has drained stops and is started again.
    if world.drained {
        world.attach(LaneMode::Running);
    }
}

fn is_death(step: &Step) -> bool {
    matches!(
        step,
        Step::Crash { .. } | Step::Panic { .. } | Step::PanicAtEnd { .. }
    )
}

/// Leaves every mode in which nothing new would start.
pub(super) fn run_again(world: &mut World) {
    match world.mode {
        LaneMode::Running | LaneMode::Closing { .. } => {}
        LaneMode::Held { .. } => world.set_mode(LaneMode::Running),
        LaneMode::Draining => {
            world.run_out(|| Verdict::Delivered);
            assert!(world.drained, "the lane does not drain: {:?}", world.lane);
            world.attach(LaneMode::Running);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(512)))]

    #[test]
    fn every_due_event_is_settled_once_whatever_happens(
        config in config(),
        steps in prop::collection::vec(step(), 0..250),
        last in prop::collection::vec(answer(), 1..8),
    ) {
        let mut world = World::new(config);
        steps.into_iter().for_each(|step| take(&mut world, step));
        run_again(&mut world);
        let mut last = last.into_iter().cycle();
        world.run_out(|| last.next().unwrap());
        world.assert_everything_is_settled();
    }

    #[test]
    fn a_lane_that_drains_comes_to_rest_and_repeats_nothing_afterwards(
        config in config(),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut world = World::new(config);
        let unharmed = steps.into_iter().filter(|step| !is_death(step));
        unharmed.for_each(|step| take(&mut world, step));
        world.set_mode(LaneMode::Draining);
        world.run_out(|| FAILED);
        prop_assert!(world.drained);
        world.attach(LaneMode::Running);
        world.run_out(|| Verdict::Delivered);
        world.assert_everything_is_settled();
    }

    #[test]
    fn a_lane_that_is_held_for_ever_leaves_nothing_due(
        config in config(),
        steps in prop::collection::vec(step(), 0..120),
        held in prop::collection::vec(step(), 0..60),
    ) {
        let mut world = World::new(config);
        steps.into_iter().for_each(|step| take(&mut world, step));
        run_again(&mut world);
        world.set_mode(LaneMode::Held { since: world.now });
        let odd = |step: &Step| is_death(step) || matches!(step, Step::Resume | Step::Drain);
        held.into_iter().filter(|step| !odd(step)).for_each(|step| take(&mut world, step));
        world.run_out(|| FAILED);
        world.assert_everything_is_settled();
    }

    #[test]
    fn a_lane_that_closes_leaves_nothing_due(
        config in config(),
        steps in prop::collection::vec(step(), 0..120),
        closing in prop::collection::vec(step(), 0..60),
        attached_anew in any::<bool>(),
    ) {
        let mut world = World::new(config);
        steps.into_iter().for_each(|step| take(&mut world, step));
        run_again(&mut world);
        let mode = LaneMode::Closing { head: world.head() };
        if attached_anew {
            world.crash(|| true);
            world.attach(mode);
        } else {
            world.set_mode(mode);
        }
        // Nothing is due any more, and an uninstalled extension has no replays.
        let odd = |step: &Step| {
            let added = matches!(step, Step::Publish { .. } | Step::PublishCorrupt | Step::Replay { .. });
            added || is_death(step) || matches!(step, Step::Drain)
        };
        closing.into_iter().filter(|step| !odd(step)).for_each(|step| take(&mut world, step));
        world.run_out(|| FAILED);
        prop_assert!(world.closed, "the lane does not close: {:?}", world.lane);
        world.assert_everything_is_settled();
    }
}
