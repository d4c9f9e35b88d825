//! What becomes of deliveries whose installation is paused or disabled for long.

use super::*;
use crate::attempt::DeadLetterReason;

const HOLD: Duration = Duration::from_secs(100);

fn holding(window: usize, due: usize) -> World {
    let mut config = config(window, 4);
    config.max_hold = HOLD;
    let mut world = World::new(config);
    (0..due).for_each(|_| world.publish(true));
    world
}

fn hold(world: &mut World) {
    world.set_mode(LaneMode::Held { since: world.now });
}

fn expired(world: &World) -> usize {
    let letters = world.letters.values();
    letters
        .filter(|letter| letter.reason == DeadLetterReason::Expired)
        .count()
}

#[test]
fn a_held_lane_reads_nothing_before_the_first_delivery_can_have_expired() {
    let mut world = holding(8, 0);
    world.publish(true);
    world.answer_read(1);
    world.finish_seq(1, DELIVERED);
    world.tell_settled();
    hold(&mut world);
    (0..9).for_each(|_| world.publish(true));
    world.answer_read(1);
    let read = world.lane.snapshot().read_through;
    world.pass(HOLD - SECOND);
    assert!(!world.answer_read(usize::MAX));
    assert_eq!(world.lane.snapshot().read_through, read);
}

#[test]
fn a_backlog_that_is_held_too_long_expires_a_window_at_a_time() {
    let mut world = holding(8, 2_000);
    hold(&mut world);
    // The world checks after every input that what the lane holds stays within the window's bounds.
    world.run_out(|| FAILED);
    world.assert_everything_is_settled();
    assert_eq!(expired(&world), 2_000);
}

#[test]
fn parked_retries_expire_too_and_count_the_attempts_made() {
    let mut world = holding(16, 3);
    world.answer_read(usize::MAX);
    world.finish_seq(1, FAILED);
    world.finish_seq(2, FAILED);
    while world.tell_settled() {}
    hold(&mut world);
    world.run_out(|| FAILED);
    world.assert_everything_is_settled();
    let attempts: Vec<_> = world.letters.values().map(|letter| letter.attempts).collect();
    assert_eq!((attempts, expired(&world)), (vec![1, 1, 1], 3));
}

#[test]
fn an_event_published_during_the_hold_has_as_long_from_then_on() {
    let mut world = holding(16, 1);
    hold(&mut world);
    let since = world.now;
    world.pass(HOLD / 2);
    world.publish(true);
    world.pass(HOLD / 2);
    world.answer_all(|| FAILED);
    assert_eq!(expired(&world), 1);
    world.pass(HOLD / 2 - SECOND);
    world.answer_all(|| FAILED);
    assert_eq!(expired(&world), 1);
    world.pass(SECOND);
    world.answer_all(|| FAILED);
    assert_eq!(expired(&world), 2);
    assert_eq!(world.now.since(since), HOLD + HOLD / 2);
}

#[test]
fn a_lane_that_goes_on_in_time_loses_nothing() {
    let mut world = holding(8, 30);
    hold(&mut world);
    world.pass(HOLD - SECOND);
    world.set_mode(LaneMode::Running);
    world.run_out(|| DELIVERED);
    world.assert_everything_is_settled();
    assert!(world.letters.is_empty());
}

#[test]
fn a_replay_waits_from_when_it_was_asked_for() {
    let mut world = holding(16, 1);
    world.answer_read(usize::MAX);
    let mut world = dead(world);
    hold(&mut world);
    world.pass(HOLD);
    world.replay(0);
    world.tell_replay();
    world.answer_all(|| DELIVERED);
    assert_eq!(world.letters[&whole(1)].status, LetterStatus::Replaying);
    world.pass(HOLD);
    world.answer_all(|| DELIVERED);
    let letter = &world.letters[&whole(1)];
    assert_eq!(
        (letter.status, letter.reason),
        (LetterStatus::Dead, DeadLetterReason::Expired)
    );
}

#[test]
fn a_new_lane_counts_from_the_beginning_of_the_hold() {
    let mut world = holding(16, 3);
    let since = world.now;
    world.pass(HOLD);
    world.attach(LaneMode::Held { since });
    world.answer_all(|| FAILED);
    assert_eq!(expired(&world), 3);
}
