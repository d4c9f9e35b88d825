//! Lanes that finish in the order of the log.

use super::*;

fn ordered(due: usize) -> World {
    let mut config = config(16, 8);
    config.ordered = true;
    let mut world = World::new(config);
    (0..due).for_each(|_| world.publish(true));
    world.answer_read(usize::MAX);
    world
}

fn limits(ordered: bool) -> LaneLimits {
    LaneLimits {
        concurrency: 8,
        ordered,
        rate_limit: None,
    }
}

#[test]
fn one_attempt_runs_at_a_time_whatever_the_concurrency() {
    let mut world = ordered(9);
    for seq in 1..=9 {
        assert_eq!(in_flight(&world), [live(seq, 1)]);
        assert_eq!(world.lane.snapshot().concurrency, 1);
        world.finish_seq(seq, DELIVERED);
    }
}

#[test]
fn a_failing_event_holds_those_behind_it_until_it_is_delivered() {
    let mut world = ordered(3);
    world.finish_seq(1, FAILED);
    assert_eq!(in_flight(&world), [], "before its row is durable");
    world.tell_settled();
    assert_eq!(in_flight(&world), [], "while it is parked");
    world.pass(5 * SECOND);
    assert_eq!(in_flight(&world), [], "while its row is read");
    world.answer_retries();
    assert_eq!(in_flight(&world), [live(1, 2)]);
    world.finish_seq(1, DELIVERED);
    world.tell_settled();
    assert_eq!(in_flight(&world), [live(2, 1)]);
}

#[test]
fn a_failing_event_holds_those_behind_it_until_it_is_dead() {
    let mut world = ordered(3);
    world.finish_seq(1, GONE);
    assert_eq!(in_flight(&world), []);
    world.tell_letter(0);
    assert_eq!(in_flight(&world), [live(2, 1)]);
}

#[test]
fn a_restart_holds_on_to_the_order() {
    let mut world = ordered(3);
    world.finish_seq(1, FAILED);
    world.tell_settled();
    world.crash(|| false);
    world.answer_read(usize::MAX);
    assert_eq!(in_flight(&world), []);
    world.pass(5 * SECOND);
    world.answer_retries();
    assert_eq!(in_flight(&world), [live(1, 2)]);
    world.run_out(|| DELIVERED);
    world.assert_everything_is_settled();
}

#[test]
fn a_replay_passes_what_is_held() {
    let mut world = ordered(3);
    world.finish_seq(1, GONE);
    world.tell_letter(0);
    world.finish_seq(2, FAILED);
    world.tell_settled();
    world.replay(0);
    world.tell_replay();
    world.answer_retries();
    assert_eq!(in_flight(&world), [(DeliveryKind::Replay, 1, 2)]);
    world.finish(0, DELIVERED);
    world.tell_letter(0);
    assert_eq!(in_flight(&world), [], "the replay frees nobody");
}

#[test]
fn replays_alone_hold_nobody() {
    let mut world = ordered(3);
    world.finish_seq(1, GONE);
    world.tell_letter(0);
    world.replay(0);
    world.tell_replay();
    assert_eq!(in_flight(&world), [live(2, 1)]);
    world.answer_retries();
    world.finish_seq(2, DELIVERED);
    assert_eq!(in_flight(&world), [(DeliveryKind::Replay, 1, 2)]);
    world.finish(0, FAILED);
    assert_eq!(in_flight(&world), [live(3, 1)]);
}

#[test]
fn a_lane_that_becomes_ordered_waits_for_all_retries_and_takes_them_in_order() {
    let mut world = world(16, 2, 9);
    world.finish_seq(2, FAILED);
    world.pass(SECOND);
    world.finish_seq(1, FAILED);
    world.limit(limits(true));
    for seq in 3..=4 {
        world.finish_seq(seq, DELIVERED);
        while world.tell_settled() {}
    }
    assert_eq!(in_flight(&world), [], "new events wait");
    // The retry of event 2 was due first.
    world.pass(5 * SECOND);
    world.answer_retries();
    let mut order = Vec::new();
    while let Some(delivery) = world.in_flight.first() {
        order.push(delivery.event.seq.get());
        world.finish(0, DELIVERED);
        while world.tell_settled() {}
    }
    assert_eq!(order, [1, 2, 5, 6, 7, 8, 9]);
}

#[test]
fn what_a_lane_without_order_left_in_flight_does_not_wait_for_the_retries_behind_it() {
    let mut world = world(16, 8, 2);
    world.finish_seq(2, FAILED);
    world.tell_settled();
    world.limit(limits(true));
    world.crash(|| false);
    world.answer_read(usize::MAX);
    assert_eq!(in_flight(&world), [live(1, 1)]);
    world.run_out(|| DELIVERED);
    world.assert_everything_is_settled();
}

#[test]
fn a_lane_that_is_no_longer_ordered_starts_what_was_held() {
    let mut world = ordered(3);
    world.finish_seq(1, FAILED);
    world.limit(limits(false));
    assert_eq!(in_flight(&world), [live(2, 1), live(3, 1)]);
}
