use std::time::Duration;

use super::{
    super::tests::{FAILED, config, result},
    *,
};

const NOW: Timestamp = Timestamp::from_millis(0);
const SECOND: Duration = Duration::from_secs(1);

fn gate(change: impl FnOnce(&mut LaneConfig)) -> Gate {
    let mut config = config(16, 4);
    change(&mut config);
    Gate::new(&config, NOW)
}

fn start_all(gate: &mut Gate, one_at_a_time: bool) -> usize {
    while gate.is_open(one_at_a_time, NOW) {
        gate.attempt_started(Source::Events, NOW);
    }
    gate.in_flight()
}

fn waiting(event: bool, retry: bool) -> Waiting {
    Waiting {
        event,
        retry,
        next_retry_at: None,
    }
}

#[test]
fn each_success_lets_one_more_attempt_run_up_to_the_limit() {
    let mut gate = gate(|_| {});
    assert_eq!(start_all(&mut gate, false), 2);
    for running in [3, 4, 4] {
        gate.attempt_ended(&result(Verdict::Delivered), NOW);
        assert_eq!(start_all(&mut gate, false), running);
    }
    gate.attempt_ended(&result(FAILED), NOW);
    assert_eq!(start_all(&mut gate, false), 4, "a failure changes nothing");
}

#[test]
fn one_at_a_time_and_an_open_breaker_leave_one_attempt_in_flight() {
    let mut ordered = gate(|_| {});
    assert_eq!(start_all(&mut ordered, true), 1);
    let mut broken = gate(|config| {
        config.initial_concurrency = 4;
        config.breaker_failures = Some(1);
    });
    broken.attempt_ended(&result(FAILED), NOW);
    assert_eq!(start_all(&mut broken, false), 1);
    assert!(!broken.lets_through(Source::Events, NOW), "it pauses");
}

#[test]
fn an_opening_breaker_takes_the_concurrency_back_to_its_start() {
    let mut gate = gate(|config| config.breaker_failures = Some(1));
    (0..4).for_each(|_| gate.attempt_ended(&result(Verdict::Delivered), NOW));
    assert_eq!(gate.concurrency(), 4);
    gate.attempt_ended(&result(FAILED), NOW);
    assert_eq!(gate.concurrency(), 2);
}

#[test]
fn the_rate_limit_closes_the_gate_until_the_next_attempt_is_earned() {
    let mut gate = gate(|config| config.rate_limit = Some(1));
    assert_eq!(start_all(&mut gate, false), 1);
    assert_eq!(gate.opens_at(waiting(true, false), NOW), Some(NOW + SECOND));
    assert_eq!(gate.opens_at(waiting(false, false), NOW), None, "nothing waits");
    assert!(gate.is_open(false, NOW + SECOND));
}

#[test]
fn events_and_retries_take_turns() {
    let mut gate = gate(|_| {});
    assert!(!gate.retry_is_next());
    gate.attempt_started(Source::Events, NOW);
    assert!(gate.retry_is_next());
    gate.took(Source::Retries);
    assert!(!gate.retry_is_next());
}

#[test]
fn the_next_probe_is_of_a_source_in_which_something_waits() {
    let mut gate = gate(|config| config.breaker_failures = Some(1));
    gate.attempt_ended(&result(FAILED), NOW);
    gate.attempt_started(Source::Events, NOW + SECOND);
    gate.attempt_ended(&result(FAILED), NOW + SECOND);
    let next = |waiting| match gate.breaker_state(waiting) {
        BreakerState::Open { next_probe_at, .. } => next_probe_at,
        BreakerState::Closed => unreachable!("it is open"),
    };
    assert_eq!(next(waiting(true, false)), NOW + 3 * SECOND);
    assert_eq!(next(waiting(true, true)), NOW + SECOND);
    assert_eq!(next(waiting(false, false)), NOW + SECOND);
}
