//! Events that several handlers of an extension take.

use std::sync::Arc;

use super::{world::names, *};

fn key(seq: i64, handler: &str) -> DeliveryKey {
    DeliveryKey {
        kind: DeliveryKind::Live,
        event_id: event(seq).id,
        handler: HandlerName::intern(handler),
    }
}

fn handling(concurrency: usize, handlers: usize) -> World {
    let mut world = World::new(LaneConfig {
        initial_concurrency: concurrency,
        ..config(16, concurrency)
    });
    world.publish_to(handlers);
    world.publish_to(handlers);
    world.answer_read(usize::MAX);
    world
}

fn finish(world: &mut World, key: DeliveryKey, verdict: Verdict) {
    let which = world.in_flight.iter().position(|delivery| delivery.key == key);
    world.finish(which.expect("it is in flight"), verdict);
}

#[test]
fn each_handler_has_a_delivery_of_its_own_and_the_cursor_waits_for_all() {
    let mut world = handling(4, 2);
    assert_eq!(
        in_flight(&world),
        [live(1, 1), live(1, 1), live(2, 1), live(2, 1)]
    );
    finish(&mut world, key(1, ""), DELIVERED);
    assert!(world.settle.is_none(), "the other has not handled it");
    finish(&mut world, key(1, "a"), DELIVERED);
    world.tell_settled();
    assert_eq!(world.cursor, Seq::new(1));
}

#[test]
fn the_failure_of_one_is_retried_without_the_other() {
    let mut world = handling(4, 2);
    finish(&mut world, key(1, "a"), FAILED);
    finish(&mut world, key(1, ""), DELIVERED);
    world.tell_settled();
    world.tell_settled();
    assert_eq!(world.cursor, Seq::new(1));
    assert_eq!(world.rows.keys().copied().collect::<Vec<_>>(), [key(1, "a")]);
    finish(&mut world, key(2, ""), GONE);
    world.run_out(|| DELIVERED);
    world.assert_everything_is_settled();
    assert_eq!(world.letters.len(), 1, "the other handler has taken event 2");
}

#[test]
fn a_crash_repeats_only_those_whose_end_was_not_durable() {
    let mut world = handling(4, 2);
    finish(&mut world, key(1, ""), GONE);
    world.tell_letter(0);
    finish(&mut world, key(1, "a"), FAILED);
    world.crash(|| false);
    world.answer_read(usize::MAX);
    let started: Vec<_> = world.in_flight.iter().map(|delivery| delivery.key).collect();
    assert_eq!(started, [key(1, "a"), key(2, ""), key(2, "a")]);
}

#[test]
fn in_an_ordered_lane_the_handlers_of_an_event_go_one_after_the_other() {
    let mut world = World::new(LaneConfig {
        ordered: true,
        ..config(16, 8)
    });
    world.publish_to(3);
    world.answer_read(usize::MAX);
    let mut seen = Vec::new();
    while let [delivery] = &world.in_flight[..] {
        seen.push(delivery.key.handler);
        world.finish(0, DELIVERED);
    }
    assert_eq!(seen, names(3));
}

#[test]
fn a_lane_that_drains_repeats_no_handler_of_an_event_that_others_have_not_had() {
    let mut world = World::new(config(16, 1));
    world.publish_to(3);
    world.publish_to(1);
    world.answer_read(usize::MAX);
    world.set_mode(LaneMode::Draining);
    world.run_out(|| DELIVERED);
    assert!(world.drained);
    assert_eq!(world.cursor, Seq::new(1));
    assert_eq!(world.rows.len(), 2, "the others wait");
    world.attach(LaneMode::Running);
    world.run_out(|| DELIVERED);
    world.assert_everything_is_settled();
}

#[test]
fn a_handler_that_takes_long_is_parked_where_it_holds_the_window() {
    let mut world = World::new(LaneConfig {
        initial_concurrency: 4,
        ..config(4, 4)
    });
    (0..3).for_each(|_| world.publish_to(2));
    world.answer_read(usize::MAX);
    finish(&mut world, key(1, ""), DELIVERED);
    finish(&mut world, key(2, ""), DELIVERED);
    finish(&mut world, key(2, "a"), DELIVERED);
    assert_eq!(in_flight(&world), [live(1, 1)]);
    let started = world.now;
    world.pass(SECOND);
    world.tell_settled();
    assert_eq!(world.cursor, Seq::new(2));
    assert_eq!(in_flight(&world), [live(1, 1), live(3, 1), live(3, 1)]);
    let ended_at_the_latest = started + 15 * SECOND / 2;
    assert_eq!(
        world.rows[&key(1, "a")].next_attempt_at,
        ended_at_the_latest + SECOND,
        "by the time that this handler has"
    );
}

#[test]
fn a_delivery_may_have_a_schedule_of_its_own() {
    let mut world = handling(4, 1);
    let own = RetrySchedule::new(vec![SECOND; 3], 0.0);
    let failed = |schedule: &RetrySchedule| {
        let mut failed = result(FAILED);
        failed.retry_schedule = Some(Arc::new(schedule.clone()));
        failed
    };
    let delivery = world.in_flight.remove(0);
    world.input(Input::AttemptFinished {
        key: delivery.key,
        result: failed(&own),
    });
    world.tell_settled();
    assert_eq!(world.rows[&key(1, "")].next_attempt_at, world.now + SECOND);
    let delivery = world.in_flight.remove(0);
    world.input(Input::AttemptFinished {
        key: delivery.key,
        result: failed(&RetrySchedule::new(vec![], 0.0)),
    });
    world.tell_letter(0);
    assert_eq!(
        world.letters[&whole(2)].attempts,
        1,
        "its own allows no second one"
    );
}
