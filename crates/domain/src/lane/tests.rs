//! What a lane does, one sentence at a time; `model` does all of it at once.

mod breaker;
mod erased;
mod gate;
mod handlers;
mod hold;
mod life;
mod model;
mod ordered;
mod poison;
mod world;

use std::{collections::BTreeSet, time::Duration};

pub(super) use world::{FAILED, event, result};
use world::{GONE, LetterStatus, World, whole};

use super::{
    Attachment, DeliveryKey, Due, Input, Lane, LaneCommand, LaneConfig, LaneLimits, LaneMode, RetryRow,
    Suspicion,
};
use crate::{
    attempt::{DeliveryKind, Verdict},
    handler_name::HandlerName,
    retry_schedule::RetrySchedule,
    seq::Seq,
    timestamp::Timestamp,
};

const DELIVERED: Verdict = Verdict::Delivered;
const SECOND: Duration = Duration::from_secs(1);

pub(super) fn config(window: usize, concurrency: usize) -> LaneConfig {
    LaneConfig {
        window,
        concurrency,
        initial_concurrency: 2,
        schedule: RetrySchedule::new(vec![5 * SECOND], 0.0),
        attempt_timeout: 15 * SECOND,
        settle_after: Duration::ZERO,
        straggler_after: SECOND,
        lazy_cursor_every: SECOND,
        breaker_failures: None,
        max_hold: Duration::from_secs(1_000_000),
        ordered: false,
        rate_limit: None,
    }
}

/// A lane that has read `due` events and started what it may.
fn world(window: usize, concurrency: usize, due: usize) -> World {
    let mut world = World::new(config(window, concurrency));
    (0..due).for_each(|_| world.publish(true));
    world.answer_read(usize::MAX);
    world
}

fn in_flight(world: &World) -> Vec<(DeliveryKind, i64, u32)> {
    world
        .in_flight
        .iter()
        .map(|started| (started.key.kind, started.event.seq.get(), started.attempt))
        .collect()
}

fn live(seq: i64, attempt: u32) -> (DeliveryKind, i64, u32) {
    (DeliveryKind::Live, seq, attempt)
}

pub(super) fn live_key(seq: i64) -> DeliveryKey {
    DeliveryKey {
        kind: DeliveryKind::Live,
        event_id: event(seq).id,
        handler: HandlerName::WHOLE,
    }
}

/// The event, due to an extension that handles it as a whole.
pub(super) fn due(seq: i64) -> Due {
    Due {
        event: event(seq),
        handler: HandlerName::WHOLE,
        attempt_timeout: 15 * SECOND,
    }
}

/// A row of the event that is due since the beginning, after one attempt.
pub(super) fn row(seq: i64) -> RetryRow {
    RetryRow {
        key: live_key(seq),
        event: event(seq),
        attempts: 1,
        next_attempt_at: Timestamp::from_millis(0),
        dead_letter_id: None,
        last_error: None,
        last_status: None,
    }
}

/// The only event has become a dead letter.
fn dead(mut world: World) -> World {
    world.finish_seq(1, GONE);
    world.tell_letter(0);
    world
}

#[test]
fn events_start_in_order_and_each_success_lets_one_more_run() {
    let mut world = world(16, 3, 9);
    assert_eq!(in_flight(&world), [live(1, 1), live(2, 1)]);
    world.finish_seq(1, DELIVERED);
    assert_eq!(in_flight(&world), [live(2, 1), live(3, 1), live(4, 1)]);
    world.finish_seq(3, DELIVERED);
    assert_eq!(in_flight(&world), [live(2, 1), live(4, 1), live(5, 1)]);
}

#[test]
fn the_cursor_stays_before_the_first_event_in_flight() {
    let mut world = world(16, 8, 3);
    world.finish_seq(2, DELIVERED);
    assert!(world.settle.is_none());
    world.finish_seq(1, DELIVERED);
    world.tell_settled();
    assert_eq!(world.cursor, Seq::new(2));
}

#[test]
fn a_failure_is_parked_together_with_the_cursor_that_passes_it() {
    let mut world = world(16, 8, 1);
    world.finish_seq(1, FAILED);
    world.tell_settled();
    assert_eq!(world.cursor, Seq::new(1));
    assert_eq!(world.rows[&live_key(1)].next_attempt_at, world.now + 5 * SECOND);
    world.pass(4 * SECOND);
    assert!(!world.answer_retries());
    world.pass(SECOND);
    world.answer_retries();
    assert_eq!(in_flight(&world), [live(1, 2)]);
}

#[test]
fn retry_after_puts_the_next_attempt_off() {
    let mut world = world(16, 8, 1);
    world.finish_seq(
        1,
        Verdict::Retry {
            retry_after: Some(60 * SECOND),
        },
    );
    world.tell_settled();
    assert_eq!(world.rows[&live_key(1)].next_attempt_at, world.now + 60 * SECOND);
}

#[test]
fn after_the_last_attempt_a_delivery_is_a_dead_letter_and_its_row_is_gone() {
    let mut world = world(16, 8, 1);
    world.run_out(|| FAILED);
    world.assert_everything_is_settled();
    assert_eq!(world.letters[&whole(1)].attempts, 2);
}

#[test]
fn the_letter_carries_the_cursor_over_its_event() {
    let world = dead(world(16, 8, 1));
    assert_eq!(world.cursor, Seq::new(1));
    assert!(world.settle.is_none());
    world.assert_everything_is_settled();
}

#[test]
fn the_cursor_waits_for_the_letter() {
    let mut world = world(16, 8, 2);
    world.finish_seq(1, GONE);
    world.finish_seq(2, DELIVERED);
    assert!(world.settle.is_none());
    world.tell_letter(0);
    world.tell_settled();
    assert_eq!(world.cursor, Seq::new(2));
}

#[test]
fn a_cursor_that_passes_nothing_due_is_written_once_in_a_while() {
    let mut world = world(16, 8, 0);
    for _ in 0..3 {
        world.publish(false);
        world.answer_read(1);
    }
    assert!(world.settle.is_none());
    world.pass(SECOND);
    world.tell_settled();
    assert_eq!(world.cursor, Seq::new(3));
}

#[test]
fn deliveries_are_settled_in_groups_unless_half_of_the_window_waits_for_it() {
    let mut world = World::new(LaneConfig {
        settle_after: SECOND / 20,
        ..config(16, 16)
    });
    (0..16).for_each(|_| world.publish_to(1));
    world.answer_read(usize::MAX);
    world.finish_seq(1, DELIVERED);
    assert!(!world.tell_settled(), "it waits for company");
    world.pass(SECOND / 20);
    assert!(world.tell_settled(), "but not for long");
    assert_eq!(world.cursor, Seq::new(1));

    let mut finished = 1;
    while !world.tell_settled() {
        finished += 1;
        world.finish_seq(finished, DELIVERED);
    }
    let used = usize::try_from(finished).unwrap() - 1 + world.in_flight.len();
    assert!((8..=10).contains(&used), "half of the window: {used}");
    world.run_out(|| DELIVERED);
    world.assert_everything_is_settled();
}

#[test]
fn a_straggler_that_holds_a_full_window_is_parked_in_flight() {
    let mut world = world(4, 2, 6);
    (2..=4).for_each(|seq| world.finish_seq(seq, DELIVERED));
    world.answer_read(usize::MAX);
    assert_eq!(in_flight(&world), [live(1, 1)]);
    world.pass(SECOND);
    world.tell_settled();
    assert_eq!(
        (world.cursor, world.rows[&live_key(1)].attempts),
        (Seq::new(4), 0)
    );
    assert_eq!(in_flight(&world), [live(1, 1), live(5, 1)]);

    world.finish_seq(1, DELIVERED);
    world.run_out(|| DELIVERED);
    world.assert_everything_is_settled();
}

#[test]
fn a_straggler_is_not_tried_again_while_it_runs_and_counts_its_failure_once() {
    let mut world = world(4, 2, 4);
    (2..=4).for_each(|seq| world.finish_seq(seq, DELIVERED));
    world.pass(SECOND);
    world.tell_settled();
    world.pass(60 * SECOND);
    world.answer_retries();
    assert_eq!(in_flight(&world), [live(1, 1)]);
    world.finish_seq(1, FAILED);
    world.tell_settled();
    assert_eq!(world.rows[&live_key(1)].attempts, 1);
}

#[test]
fn due_retries_and_new_events_take_turns() {
    let mut world = world(64, 2, 4);
    (1..=4).for_each(|seq| world.finish_seq(seq, FAILED));
    (5..=10).for_each(|_| world.publish(true));
    world.tell_settled();
    world.tell_settled();
    world.set_mode(LaneMode::Held { since: world.now });
    world.pass(5 * SECOND);
    world.answer_read(usize::MAX);
    world.set_mode(LaneMode::Running);
    world.answer_retries();
    let mut started = in_flight(&world);
    for _ in 0..6 {
        world.finish(0, FAILED);
        world.answer_retries();
        started.push(*in_flight(&world).last().unwrap());
    }
    let retries: Vec<_> = started.iter().map(|(_, _, attempt)| *attempt == 2).collect();
    assert_eq!(retries, [false, false, true, false, true, false, true, false]);
}

#[test]
fn an_old_answer_about_the_retry_table_repeats_nothing() {
    let mut world = world(16, 8, 1);
    world.finish_seq(1, FAILED);
    world.tell_settled();
    world.pass(5 * SECOND);
    world.answer_retries();
    assert_eq!(in_flight(&world), [live(1, 2)]);
    // A replay of something else makes the lane read; the table still has the row when it is read.
    world.input(Input::RetriesAdded { at: world.now });
    world.snapshot_retries();
    world.finish_seq(1, DELIVERED);
    world.tell_settled();
    world.answer_retries();
    assert_eq!(in_flight(&world), []);
}

#[test]
fn a_held_lane_starts_nothing_and_settles_what_ends() {
    let mut world = world(16, 8, 4);
    world.set_mode(LaneMode::Held { since: world.now });
    world.finish_seq(1, DELIVERED);
    world.finish_seq(2, FAILED);
    world.tell_settled();
    world.tell_settled();
    assert_eq!((world.cursor, in_flight(&world)), (Seq::new(2), vec![]));
    world.set_mode(LaneMode::Running);
    assert_eq!(in_flight(&world), [live(3, 1), live(4, 1)]);
}

#[test]
fn a_draining_lane_writes_its_cursor_and_says_when_it_is_done() {
    let mut world = world(16, 8, 1);
    world.publish(false);
    world.answer_read(1);
    world.set_mode(LaneMode::Draining);
    world.finish_seq(1, DELIVERED);
    assert!(!world.drained);
    world.tell_settled();
    assert!(world.drained);
    assert_eq!(world.cursor, Seq::new(2));
}

#[test]
fn a_draining_lane_does_not_wait_to_write_a_cursor_that_passed_nothing_due() {
    let mut world = world(16, 8, 0);
    world.publish(false);
    world.answer_read(1);
    assert!(world.settle.is_none());
    world.set_mode(LaneMode::Draining);
    world.tell_settled();
    assert!(world.drained);
    assert_eq!(world.cursor, Seq::new(1));
}

#[test]
fn a_failure_in_a_closing_lane_is_a_letter_and_not_parked() {
    let mut world = world(16, 8, 1);
    world.set_mode(LaneMode::Closing { head: world.head() });
    world.finish_seq(1, FAILED);
    world.tell_letter(0);
    assert!(world.settle.is_none());
    assert_eq!(world.letters[&whole(1)].attempts, 1);
}

#[test]
fn a_closing_lane_finds_a_replay_that_it_was_not_told_of() {
    let mut world = dead(world(16, 8, 1));
    world.replay(0);
    world.set_mode(LaneMode::Closing { head: world.head() });
    world.answer_retries();
    world.tell_letter(0);
    assert!(world.closed);
    assert_eq!(world.letters[&whole(1)].status, LetterStatus::Dead);
}

#[test]
fn a_closing_lane_makes_letters_of_everything_it_does_not_start() {
    let mut world = world(2, 2, 7);
    world.finish_seq(1, FAILED);
    world.tell_settled();
    world.set_mode(LaneMode::Closing { head: world.head() });
    world.run_out(|| FAILED);
    assert!(world.closed);
    world.assert_everything_is_settled();
    assert_eq!(world.letters.len(), 7);
}

#[test]
fn a_replay_that_is_delivered_ends_the_letter_and_one_that_fails_leaves_it_dead() {
    let replayed = |verdict| {
        let mut world = dead(world(16, 8, 1));
        world.replay(0);
        world.tell_replay();
        world.answer_retries();
        assert_eq!(in_flight(&world), [(DeliveryKind::Replay, 1, 2)]);
        world.finish_seq(1, verdict);
        world.tell_letter(0);
        assert!(world.rows.is_empty());
        world.letters[&whole(1)].status
    };
    assert_eq!(replayed(DELIVERED), LetterStatus::Replayed);
    assert_eq!(replayed(FAILED), LetterStatus::Dead);
    assert_eq!(replayed(GONE), LetterStatus::Dead);
}

#[test]
fn a_letter_replayed_again_before_the_lane_knows_it_is_dead_again_is_not_forgotten() {
    let mut world = dead(world(16, 8, 1));
    world.replay(0);
    world.tell_replay();
    world.answer_retries();
    world.finish_seq(1, FAILED);
    world.apply_letter(0);
    world.replay(0);
    world.tell_replay();
    world.answer_retries();
    assert_eq!(in_flight(&world), []);
    world.tell_letter(0);
    world.answer_retries();
    assert_eq!(in_flight(&world), [(DeliveryKind::Replay, 1, 3)]);
}

#[test]
fn what_was_handled_before_a_crash_is_not_taken_for_new() {
    let mut world = world(16, 8, 2);
    world.finish_seq(2, GONE);
    world.tell_letter(0);
    world.crash(|| false);
    world.answer_read(usize::MAX);
    assert_eq!(in_flight(&world), [live(1, 1)]);
    world.finish_seq(1, DELIVERED);
    world.tell_settled();
    assert_eq!(world.cursor, Seq::new(2));
}

#[test]
fn a_retry_waits_for_the_events_before_it_after_a_crash() {
    let mut world = world(16, 8, 2);
    world.finish_seq(2, FAILED);
    world.tell_settled();
    world.pass(60 * SECOND);
    world.crash(|| false);
    world.answer_retries();
    assert_eq!(in_flight(&world), []);
    world.answer_read(usize::MAX);
    assert_eq!(in_flight(&world), [live(1, 1)]);
    world.finish_seq(1, DELIVERED);
    assert_eq!(in_flight(&world), [live(2, 2)]);
}

#[test]
fn a_backlog_costs_no_memory() {
    let mut world = world(8, 4, 5_000);
    let mut verdicts = [DELIVERED, DELIVERED, FAILED].into_iter().cycle();
    // The world checks after every input that what the lane holds stays within the window's bounds.
    world.run_out(|| verdicts.next().unwrap());
    world.assert_everything_is_settled();
}

#[test]
fn late_and_unasked_for_answers_are_ignored() {
    let nothing = Attachment {
        settled: Seq::ZERO,
        handled: BTreeSet::new(),
        next_retry_at: None,
        parked_live: false,
        parked_through: None,
        head: Seq::ZERO,
    };
    let now = Timestamp::from_millis(0);
    let mut commands = Vec::new();
    let mut lane = Lane::new(
        config(4, 4),
        nothing,
        LaneMode::Running,
        Suspicion::default(),
        now,
        &mut commands,
    );
    assert!(matches!(
        commands[..],
        [LaneCommand::ReadAfter {
            seq: Seq::ZERO,
            limit: 4
        }]
    ));
    commands.clear();
    let row = RetryRow {
        key: live_key(1),
        event: event(1),
        attempts: 1,
        next_attempt_at: now,
        dead_letter_id: None,
        last_error: None,
        last_status: None,
    };
    for input in [
        Input::AttemptFinished {
            key: live_key(1),
            result: result(DELIVERED),
        },
        Input::LetterWritten { key: live_key(1) },
        Input::SettlementDurable,
        Input::Retries {
            rows: vec![row],
            next_retry_at: None,
        },
        Input::Tick,
    ] {
        lane.handle(input, now, 0.0, &mut commands);
    }
    assert!(commands.is_empty(), "{commands:?}");
}
