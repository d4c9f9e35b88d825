use std::collections::BTreeSet;

use super::*;
use crate::{
    lane::{
        Suspicion,
        breaker::Times,
        tests::{FAILED, due, event, result},
    },
    seq::Seq,
};

const SECOND: Duration = Duration::from_secs(1);
const MAX_HOLD: Duration = Duration::from_secs(100);
const HELD: LaneMode = LaneMode::Held { since: at(0) };
const CLOSING: LaneMode = LaneMode::Closing { head: Seq::new(2) };

const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

/// A breaker that holds deliveries for 10 s; open since 0 s if `open`.
fn breaker(open: bool) -> Breaker {
    let times = Times {
        longest_pause: SECOND,
        longest_hold: 10 * SECOND,
    };
    let mut breaker = Breaker::new(Some(1), times);
    if open {
        breaker.failed(&result(FAILED), at(0));
    }
    breaker
}

fn intake() -> Intake {
    Intake::new(Seq::ZERO, BTreeSet::new(), 4)
}

fn reason(mode: LaneMode, breaker: &Breaker, waiting_since: i64, now: i64) -> Option<DeadLetterReason> {
    let poison = PoisonTracker::new(Suspicion::default(), at(0));
    let hold = Hold::new(mode, MAX_HOLD);
    let rule = hold.give_up_rule(breaker, &poison, at(now));
    rule.reason(due(1).live_key(), &event(1), at(waiting_since))
}

#[test]
fn a_held_delivery_expires_once_it_and_the_hold_have_lasted_too_long() {
    let closed = breaker(false);
    assert_eq!(reason(HELD, &closed, -500, 99), None, "the hold is younger");
    assert_eq!(reason(HELD, &closed, -500, 100), Some(DeadLetterReason::Expired));
    assert_eq!(reason(HELD, &closed, 1, 100), None, "the delivery is younger");
    assert_eq!(reason(HELD, &closed, 1, 101), Some(DeadLetterReason::Expired));
}

#[test]
fn an_open_breaker_gives_up_only_while_it_pauses_after_a_failed_probe() {
    let mut open = breaker(true);
    assert_eq!(
        reason(LaneMode::Running, &open, 0, 60),
        None,
        "a probe comes first"
    );
    open.started(crate::lane::breaker::Source::Events);
    open.failed(&result(FAILED), at(60));
    assert_eq!(reason(LaneMode::Running, &open, 51, 60), None);
    assert_eq!(
        reason(LaneMode::Running, &open, 50, 60),
        Some(DeadLetterReason::BreakerOpen)
    );
    assert_eq!(reason(LaneMode::Running, &breaker(false), 0, 60), None);
}

#[test]
fn a_closing_lane_gives_up_everything_and_a_draining_lane_nothing() {
    let closed = breaker(false);
    assert_eq!(
        reason(CLOSING, &closed, 0, 0),
        Some(DeadLetterReason::Uninstalled)
    );
    assert_eq!(reason(LaneMode::Draining, &closed, 0, 9_999), None);
}

#[test]
fn closing_and_draining_are_not_left_for_a_mode_in_which_deliveries_start() {
    let mut hold = Hold::new(CLOSING, MAX_HOLD);
    assert!(!hold.change(LaneMode::Running) && !hold.change(HELD));
    assert_eq!(hold.mode(), CLOSING);
    assert!(hold.change(LaneMode::Draining));
    assert!(!hold.change(LaneMode::Running) && !hold.change(CLOSING));
    assert_eq!(hold.mode(), LaneMode::Draining);
}

#[test]
fn a_held_lane_reads_only_what_can_have_waited_too_long() {
    let hold = Hold::new(HELD, MAX_HOLD);
    let closed = breaker(false);
    assert!(!hold.wants_events(&intake(), &closed, at(99)));
    assert!(hold.wants_events(&intake(), &closed, at(100)));
    assert_eq!(hold.wants_retries(&closed, at(99)), None);
    assert_eq!(hold.wants_retries(&closed, at(130)), Some(at(30)));
}

#[test]
fn a_held_lane_wakes_for_what_it_has_not_read_and_for_rows_that_become_due_later() {
    let hold = Hold::new(HELD, MAX_HOLD);
    let mut intake = intake();
    let retries = RetryTable::new(Some(at(7)), false);
    let ends_at = |intake: &Intake| hold.ends_at(intake, &retries, &breaker(false), at(0));
    assert_eq!(ends_at(&intake), Some(at(100)));
    intake.read();
    assert_eq!(
        ends_at(&intake),
        Some(at(107)),
        "the answer of the read is on its way"
    );
}
