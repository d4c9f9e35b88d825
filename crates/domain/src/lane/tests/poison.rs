//! Deliveries that make the lane's actor panic.

use super::*;
use crate::attempt::DeadLetterReason;

/// The actor panics whenever this event is in flight. How often it did, until nothing was left to do.
fn run_out_with_poison(world: &mut World, poison: i64) -> usize {
    let mut panics = 0;
    for round in 0.. {
        assert!(round < 10_000, "the lane comes to no end: {:?}", world.lane);
        let lethal = |(_, seq, _): &(DeliveryKind, i64, u32)| *seq == poison;
        if in_flight(world).iter().any(lethal) {
            world.panic(|| false);
            panics += 1;
        } else if !world.step(|| DELIVERED) && !world.wake_up() {
            break;
        }
    }
    panics
}

#[test]
fn an_event_that_makes_the_actor_panic_is_a_dead_letter_and_its_neighbours_are_delivered() {
    let mut world = world(16, 8, 30);
    assert_eq!(
        run_out_with_poison(&mut world, 2),
        4,
        "one that names nobody, three that do"
    );
    world.assert_everything_is_settled();
    let reasons: Vec<_> = world.letters.values().map(|letter| letter.reason).collect();
    assert_eq!(reasons, [DeadLetterReason::Poison]);
    let letter = &world.letters[&whole(2)];
    assert_eq!(letter.attempts, 3);
    assert!(letter.last_error.as_ref().unwrap().contains("panicked"));
}

#[test]
fn after_a_panic_deliveries_go_one_at_a_time_until_the_lane_is_past_the_former_window() {
    let mut world = world(16, 3, 12);
    (1..=2).for_each(|seq| world.finish_seq(seq, DELIVERED));
    assert_eq!(in_flight(&world), [live(3, 1), live(4, 1), live(5, 1)]);
    world.panic(|| true);
    world.answer_read(usize::MAX);
    for seq in 2..=5 {
        assert_eq!(in_flight(&world), [live(seq, 1)]);
        world.finish_seq(seq, DELIVERED);
        assert_eq!(in_flight(&world), [], "before what came of it is durable");
        world.tell_settled();
    }
    assert!(in_flight(&world).len() > 1);
}

#[test]
fn a_retry_that_makes_the_actor_panic_is_named_too() {
    let mut world = world(16, 8, 1);
    world.finish_seq(1, FAILED);
    world.tell_settled();
    world.pass(5 * SECOND);
    world.answer_retries();
    assert_eq!(in_flight(&world), [live(1, 2)]);
    assert_eq!(run_out_with_poison(&mut world, 1), 4);
    world.assert_everything_is_settled();
    let letter = &world.letters[&whole(1)];
    assert_eq!((letter.reason, letter.attempts), (DeadLetterReason::Poison, 4));
}

#[test]
fn a_replay_that_makes_the_actor_panic_is_dead_again() {
    let mut world = dead(world(16, 8, 1));
    world.replay(0);
    world.tell_replay();
    world.answer_retries();
    assert_eq!(run_out_with_poison(&mut world, 1), 4);
    world.assert_everything_is_settled();
    let letter = &world.letters[&whole(1)];
    assert_eq!(
        (letter.status, letter.reason),
        (LetterStatus::Dead, DeadLetterReason::Poison)
    );
}

#[test]
fn panics_over_the_end_of_an_attempt_name_its_delivery() {
    for retried in [false, true] {
        let mut world = world(16, 8, 1);
        if retried {
            world.finish_seq(1, FAILED);
            world.tell_settled();
            world.pass(5 * SECOND);
            world.answer_retries();
        }
        let mut panics = 0;
        while !world.in_flight.is_empty() {
            world.panic_at_end(0, FAILED, || false);
            panics += 1;
            assert!(panics < 10, "nobody is named: {:?}", world.lane);
            while world.answer_read(usize::MAX) | world.answer_retries() {}
        }
        assert_eq!(panics, 4);
        world.tell_letter(0);
        assert_eq!(world.letters[&whole(1)].reason, DeadLetterReason::Poison);
    }
}

#[test]
fn an_attempt_that_ends_without_a_panic_clears_its_delivery() {
    let mut world = world(16, 8, 2);
    world.panic(|| false);
    world.answer_read(usize::MAX);
    for _ in 0..2 {
        assert_eq!(in_flight(&world), [live(1, 1)]);
        world.panic(|| false);
        world.answer_read(usize::MAX);
    }
    world.finish_seq(1, FAILED);
    world.tell_settled();
    assert_eq!(in_flight(&world), [live(2, 1)]);
    world.panic(|| false);
    world.answer_read(usize::MAX);
    world.run_out(|| DELIVERED);
    world.assert_everything_is_settled();
    assert!(world.letters.is_empty());
}

#[test]
fn an_end_that_is_handled_is_not_what_the_actor_panics_over_later() {
    let mut world = world(16, 8, 1);
    world.panic(|| false);
    // Delivered each time, and never settled: it is delivered once more, and not given up.
    for _ in 0..10 {
        world.answer_read(usize::MAX);
        assert_eq!(in_flight(&world), [live(1, 1)]);
        world.finish_seq(1, DELIVERED);
        world.panic(|| false);
    }
}

#[test]
fn an_actor_that_panics_with_nothing_in_flight_suspects_nobody() {
    let mut world = world(16, 8, 1);
    world.run_out(|| DELIVERED);
    assert_eq!(world.lane.suspicion(), Suspicion::default());
    for _ in 0..10 {
        world.panic(|| false);
    }
    world.publish(true);
    world.answer_read(usize::MAX);
    assert_eq!(in_flight(&world), [live(2, 1)]);
}

#[test]
fn a_lane_that_is_past_the_former_window_suspects_nobody() {
    let mut world = world(16, 8, 6);
    world.panic(|| false);
    world.run_out(|| DELIVERED);
    world.assert_everything_is_settled();
    assert_eq!(world.lane.suspicion(), Suspicion::default());
}

#[test]
fn a_suspected_straggler_is_waited_for() {
    let mut world = world(4, 2, 6);
    (2..=4).for_each(|seq| world.finish_seq(seq, DELIVERED));
    world.pass(SECOND);
    world.tell_settled();
    world.answer_read(usize::MAX);
    assert_eq!(in_flight(&world), [live(1, 1), live(5, 1)]);
    world.panic(|| false);
    world.answer_read(usize::MAX);
    world.finish_seq(5, DELIVERED);
    world.tell_settled();
    world.finish_seq(6, DELIVERED);
    world.tell_settled();
    (0..4).for_each(|_| world.publish(true));
    world.answer_read(usize::MAX);
    assert_eq!(in_flight(&world), [live(7, 1)], "one at a time");
    assert_eq!(run_out_with_poison(&mut world, 1), 3);
    world.assert_everything_is_settled();
}
