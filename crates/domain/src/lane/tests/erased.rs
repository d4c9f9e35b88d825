//! The payload of an event is erased while a lane holds the event.

use super::{world::whole, *};
use crate::attempt::DeadLetterReason;

#[test]
fn what_is_queued_is_given_up_without_an_attempt() {
    let mut world = world(16, 1, 3);
    assert_eq!(in_flight(&world), [live(1, 1)]);
    world.erase(2);
    world.finish_seq(1, DELIVERED);
    world.tell_letter(0);
    let letter = &world.letters[&whole(2)];
    assert_eq!((letter.reason, letter.attempts), (DeadLetterReason::Erased, 0));
    assert!(letter.event.is_erased());
    world.run_out(|| DELIVERED);
    world.assert_everything_is_settled();
    assert!(!world.received.contains(&whole(2)));
}

#[test]
fn what_is_in_flight_may_end_and_a_letter_of_it_has_no_payload() {
    let mut world = world(16, 8, 2);
    world.erase(1);
    world.finish_seq(1, GONE);
    world.tell_letter(0);
    let letter = &world.letters[&whole(1)];
    assert_eq!(letter.reason, DeadLetterReason::Gone);
    assert!(letter.event.is_erased());
    world.run_out(|| DELIVERED);
    world.assert_everything_is_settled();
}

#[test]
fn a_retry_that_is_loaded_is_given_up() {
    let mut world = world(16, 1, 1);
    world.finish_seq(1, FAILED);
    world.tell_settled();
    world.publish(true);
    world.answer_read(usize::MAX);
    assert_eq!(in_flight(&world), [live(2, 1)], "the retry waits for it");
    world.pass(5 * SECOND);
    world.answer_retries();
    world.erase(1);
    world.finish_seq(2, DELIVERED);
    world.tell_letter(0);
    let letter = &world.letters[&whole(1)];
    assert_eq!((letter.reason, letter.attempts), (DeadLetterReason::Erased, 1));
    world.run_out(|| DELIVERED);
    world.assert_everything_is_settled();
}
