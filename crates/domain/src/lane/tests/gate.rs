//! The rate limit, the bound of the queue in bytes, and events that are never attempted.

use super::*;
use crate::attempt::DeadLetterReason;

fn limited(rate_limit: u32, due: usize) -> World {
    let mut config = config(64, 64);
    config.initial_concurrency = 64;
    config.rate_limit = Some(rate_limit);
    let mut world = World::new(config);
    (0..due).for_each(|_| world.publish(true));
    world.answer_read(usize::MAX);
    world
}

#[test]
fn a_rate_limit_lets_a_second_s_worth_through_and_then_one_at_a_time() {
    let mut world = limited(4, 20);
    assert_eq!(world.in_flight.len(), 4);
    world.pass(Duration::from_millis(249));
    assert_eq!(world.in_flight.len(), 4);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.in_flight.len(), 5);
    (1..=5).for_each(|seq| world.finish_seq(seq, DELIVERED));
    assert_eq!(in_flight(&world), [], "what ends makes no room");
}

#[test]
fn what_waits_for_the_rate_limit_burns_no_attempts() {
    let mut world = limited(1, 9);
    world.run_out(|| FAILED);
    world.assert_everything_is_settled();
    // The world checks that each attempt has the number that the row says.
    assert!(world.letters.values().all(|letter| letter.attempts == 2));
}

#[test]
fn retries_and_replays_are_limited_with_the_rest() {
    let mut world = limited(2, 2);
    world.finish_seq(1, FAILED);
    world.finish_seq(2, GONE);
    world.tell_settled();
    world.tell_letter(0);
    world.tell_settled();
    world.publish(true);
    world.publish(true);
    world.pass(5 * SECOND);
    world.replay(0);
    world.tell_replay();
    world.answer_retries();
    world.answer_read(usize::MAX);
    assert_eq!(world.in_flight.len(), 2, "of four that wait");
    world.run_out(|| DELIVERED);
    world.assert_everything_is_settled();
}

#[test]
fn without_a_limit_any_more_everything_starts() {
    let mut world = limited(1, 9);
    assert_eq!(world.in_flight.len(), 1);
    world.limit(LaneLimits {
        concurrency: 64,
        ordered: false,
        rate_limit: None,
    });
    assert_eq!(world.in_flight.len(), 9);
}

#[test]
fn large_payloads_are_not_read_ahead_of_their_time() {
    let mut config = config(256, 1);
    config.initial_concurrency = 1;
    let mut world = World::new(config);
    (0..300).for_each(|_| world.publish_large(256 * 1024));
    while world.answer_read(4) {}
    let queued = world.lane.snapshot().queued;
    assert!((32..=36).contains(&queued), "8 MiB and a page, not {queued}");
    world.run_out(|| DELIVERED);
    world.assert_everything_is_settled();
}

#[test]
fn an_event_with_a_defect_is_a_dead_letter_without_an_attempt() {
    let mut world = World::new(config(16, 8));
    world.publish(true);
    world.publish_corrupt();
    world.publish(true);
    world.answer_read(usize::MAX);
    assert_eq!(in_flight(&world), [live(1, 1), live(3, 1)]);
    world.tell_letter(0);
    let letter = &world.letters[&whole(2)];
    assert_eq!((letter.reason, letter.attempts), (DeadLetterReason::Corrupt, 0));
    assert_eq!(letter.last_error.as_deref(), Some("its payload is not JSON"));
    world.run_out(|| DELIVERED);
    world.assert_everything_is_settled();
}

#[test]
fn the_replay_of_an_event_with_a_defect_is_dead_again_without_an_attempt() {
    let mut world = World::new(config(16, 8));
    world.publish_corrupt();
    world.answer_read(usize::MAX);
    world.tell_letter(0);
    world.replay(0);
    world.tell_replay();
    world.answer_retries();
    world.tell_letter(0);
    let letter = &world.letters[&whole(1)];
    assert_eq!((letter.status, letter.attempts), (LetterStatus::Dead, 0));
    world.assert_everything_is_settled();
}

#[test]
fn a_changed_limit_holds_from_the_next_attempt() {
    let mut world = world(16, 2, 8);
    assert_eq!(in_flight(&world), [live(1, 1), live(2, 1)]);
    world.limit(LaneLimits {
        concurrency: 1,
        ordered: false,
        rate_limit: None,
    });
    world.finish_seq(1, DELIVERED);
    assert_eq!(in_flight(&world), [live(2, 1)], "one is enough now");
    world.limit(LaneLimits {
        concurrency: 3,
        ordered: false,
        rate_limit: None,
    });
    world.finish_seq(2, DELIVERED);
    assert!(in_flight(&world).len() > 1, "it grows again with each success");
}
