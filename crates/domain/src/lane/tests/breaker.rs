//! What an open breaker does to a lane.

use super::*;
use crate::{attempt::DeadLetterReason, lane::BreakerState};

/// So long a delivery is held: ten minutes, and twice the longest pause of 15 s and an attempt of 15 s.
const HELD: Duration = Duration::from_secs(660);

/// The breaker opens at the second failure.
fn breaking(window: usize, due: usize) -> World {
    let mut config = config(window, 8);
    config.breaker_failures = Some(2);
    config.schedule = RetrySchedule::new(vec![20 * SECOND, 40 * SECOND], 0.0);
    let mut world = World::new(config);
    (0..due).for_each(|_| world.publish(true));
    world.answer_read(usize::MAX);
    world
}

fn settle_all(world: &mut World) {
    while world.tell_settled() {}
}

/// Events 1 and 2 have failed.
fn open(window: usize, due: usize) -> World {
    let mut world = breaking(window, due);
    world.finish_seq(1, FAILED);
    world.finish_seq(2, FAILED);
    settle_all(&mut world);
    world
}

#[test]
fn an_open_breaker_lets_one_event_at_a_time_through_with_growing_pauses() {
    let mut world = open(16, 9);
    assert_eq!(in_flight(&world), [live(3, 1)], "started before it opened");
    world.finish_seq(3, FAILED);
    settle_all(&mut world);
    let mut probes = Vec::new();
    for _ in 0..4 {
        let since = world.now;
        while world.in_flight.is_empty() {
            world.pass(Duration::from_millis(100));
        }
        probes.push((world.now.since(since).as_secs(), in_flight(&world)));
        world.finish(0, FAILED);
        settle_all(&mut world);
    }
    let expected = [(1, 4), (2, 5), (4, 6), (8, 7)].map(|(pause, seq)| (pause, vec![live(seq, 1)]));
    assert_eq!(probes, expected);
}

#[test]
fn a_success_closes_the_breaker_and_the_lane_drains() {
    let mut world = open(16, 9);
    world.finish_seq(3, DELIVERED);
    assert_eq!(world.lane.snapshot().breaker, BreakerState::Closed);
    assert!(in_flight(&world).len() > 1);
    world.run_out(|| DELIVERED);
    world.assert_everything_is_settled();
    assert!(world.letters.is_empty());
}

#[test]
fn a_breaker_that_opens_makes_the_lane_start_slowly_again() {
    let mut world = breaking(16, 9);
    (1..=6).for_each(|seq| world.finish_seq(seq, DELIVERED));
    assert_eq!(world.lane.snapshot().concurrency, 8);
    world.finish_seq(7, FAILED);
    world.finish_seq(8, FAILED);
    world.finish_seq(9, DELIVERED);
    assert_eq!(
        world.lane.snapshot().concurrency,
        3,
        "two at first, and one success"
    );
}

#[test]
fn events_and_the_retries_due_longest_are_probed_in_turn_and_each_probe_is_an_attempt() {
    let mut world = open(16, 9);
    world.finish_seq(3, FAILED);
    settle_all(&mut world);
    world.pass(20 * SECOND);
    world.answer_retries();
    let mut probes = Vec::new();
    for _ in 0..6 {
        while world.in_flight.is_empty() {
            world.pass(Duration::from_millis(100));
        }
        probes.extend(in_flight(&world));
        world.finish(0, FAILED);
        settle_all(&mut world);
        world.answer_retries();
    }
    let expected = [
        live(4, 1),
        live(1, 2),
        live(5, 1),
        live(2, 2),
        live(6, 1),
        live(3, 2),
    ];
    assert_eq!(probes, expected);
    assert_eq!(world.rows[&live_key(1)].attempts, 2);
}

#[test]
fn resetting_the_breaker_starts_what_waits() {
    let mut world = open(16, 9);
    world.finish_seq(3, FAILED);
    assert_eq!(in_flight(&world), []);
    world.reset_breaker();
    assert_eq!(world.lane.snapshot().breaker, BreakerState::Closed);
    assert_eq!(in_flight(&world), [live(4, 1), live(5, 1)]);
}

#[test]
fn what_an_open_breaker_holds_longer_than_the_schedule_is_a_dead_letter_untried() {
    let mut world = open(4, 200);
    world.run_out(|| FAILED);
    world.assert_everything_is_settled();
    let held = world
        .letters
        .values()
        .filter(|letter| letter.reason == DeadLetterReason::BreakerOpen);
    let untried: Vec<_> = held.map(|letter| letter.attempts).collect();
    let untried = untried.iter().filter(|attempts| **attempts == 0).count();
    assert!(untried > 100, "{untried}");
}

#[test]
fn an_event_published_while_the_breaker_is_open_is_held_as_long_from_then_on() {
    let mut world = open(16, 100);
    let opened = world.now;
    world.pass(SECOND);
    world.publish(true);
    let late = whole(101);
    let dead_at = |world: &World| world.letters.contains_key(&late).then_some(world.now);
    while dead_at(&world).is_none() {
        world.answer_all(|| FAILED);
        world.pass(SECOND);
    }
    assert_eq!(world.letters[&late].reason, DeadLetterReason::BreakerOpen);
    assert!(world.now.since(opened) >= HELD + SECOND);
    assert_eq!(world.letters[&whole(100)].reason, DeadLetterReason::BreakerOpen);
}

#[test]
fn a_backlog_of_many_windows_is_given_up_a_window_at_a_time() {
    let mut world = open(8, 2_000);
    // The world checks after every input that what the lane holds stays within the window's bounds.
    world.run_out(|| FAILED);
    world.assert_everything_is_settled();
    assert_eq!(world.letters.len(), 2_000);
}

#[test]
fn a_service_that_comes_back_in_time_receives_everything() {
    let mut world = open(8, 500);
    let mut verdicts = std::iter::repeat_n(FAILED, 5).chain(std::iter::repeat(DELIVERED));
    world.run_out(|| verdicts.next().unwrap());
    world.assert_everything_is_settled();
    assert!(world.letters.is_empty());
}

#[test]
fn a_probe_goes_before_what_was_held_too_long_and_may_save_it() {
    let mut world = open(4, 100);
    world.finish_seq(3, FAILED);
    settle_all(&mut world);
    world.pass(HELD + SECOND);
    assert_eq!(in_flight(&world), [live(4, 1)]);
    assert_eq!(
        world.lane.snapshot().window_used,
        1,
        "nothing is given up beside it"
    );
    world.finish(0, DELIVERED);
    world.run_out(|| DELIVERED);
    world.assert_everything_is_settled();
    assert!(world.letters.is_empty());
}

#[test]
fn what_was_held_too_long_does_not_keep_a_probe_waiting() {
    let mut world = open(4, 100);
    world.finish_seq(3, FAILED);
    settle_all(&mut world);
    world.pass(HELD + SECOND);
    world.finish(0, FAILED);
    settle_all(&mut world);
    world.answer_read(usize::MAX);
    world.answer_retries();
    assert_eq!(world.lane.snapshot().window_used, 4, "letters take all the room");
    world.pass(2 * SECOND);
    world.tell_letter(0);
    settle_all(&mut world);
    assert_eq!(world.in_flight.len(), 1);
    world.finish(0, DELIVERED);
    world.run_out(|| DELIVERED);
    world.assert_everything_is_settled();
    assert!(world.letters.len() <= 8, "{} letters", world.letters.len());
}

#[test]
fn a_new_lane_begins_with_a_closed_breaker() {
    let mut world = open(16, 9);
    world.crash(|| true);
    assert_eq!(world.lane.snapshot().breaker, BreakerState::Closed);
}
