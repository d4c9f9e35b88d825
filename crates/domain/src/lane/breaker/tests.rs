use super::*;
use crate::{
    attempt::{AttemptOutcome, Verdict},
    retry_schedule::RetrySchedule,
};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);
const TIMES: Times = Times {
    longest_pause: LONGEST_PAUSE,
    longest_hold: DAY,
};

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(0) + Duration::from_secs(seconds)
}

fn failure(status: u16) -> AttemptResult {
    AttemptResult {
        outcome: AttemptOutcome::Http5xx,
        verdict: Verdict::Retry { retry_after: None },
        http_status: Some(status),
        duration: Duration::ZERO,
        error: None,
        response: None,
        disable: false,
        retry_schedule: None,
    }
}

fn fail(breaker: &mut Breaker, now: Timestamp) -> bool {
    breaker.failed(&failure(503), now)
}

/// A breaker that has opened at 0 s.
fn opened() -> Breaker {
    let mut breaker = Breaker::new(Some(3), TIMES);
    let opened: Vec<bool> = (0..3).map(|_| fail(&mut breaker, at(0))).collect();
    assert_eq!(opened, [false, false, true]);
    breaker
}

fn probe_fails(breaker: &mut Breaker, source: Source, now: Timestamp) {
    breaker.started(source);
    fail(breaker, now);
}

fn next(breaker: &Breaker) -> [Option<Timestamp>; 2] {
    [Source::Events, Source::Retries].map(|source| breaker.next_probe_at(source))
}

#[test]
fn it_opens_after_failures_in_a_row_and_a_sign_of_life_between_them_starts_the_count_anew() {
    let mut breaker = Breaker::new(Some(3), TIMES);
    fail(&mut breaker, at(0));
    fail(&mut breaker, at(0));
    breaker.reset();
    fail(&mut breaker, at(0));
    fail(&mut breaker, at(0));
    assert!(!breaker.is_open());
    fail(&mut breaker, at(7));
    assert_eq!(breaker.open_since(), Some(at(7)));
    assert_eq!(next(&breaker), [Some(at(8)), Some(at(8))]);
}

#[test]
fn without_a_threshold_it_never_opens() {
    let mut breaker = Breaker::new(None, TIMES);
    (0..10_000).for_each(|_| assert!(!fail(&mut breaker, at(0))));
    assert!(!breaker.is_open());
}

#[test]
fn pauses_double_from_a_second_to_the_longest() {
    let mut breaker = opened();
    let mut now = at(0);
    let pauses: Vec<_> = (0..12)
        .map(|_| {
            let next = breaker.next_probe_at(Source::Events).unwrap();
            let pause = next.since(now).as_secs();
            now = next;
            probe_fails(&mut breaker, Source::Events, now);
            pause
        })
        .collect();
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    assert_eq!(breaker.open_since(), Some(at(0)));
}

#[test]
fn retries_that_fail_again_do_not_put_off_the_next_event() {
    let mut breaker = opened();
    (1..=5).for_each(|second| probe_fails(&mut breaker, Source::Retries, at(second)));
    assert_eq!(next(&breaker), [Some(at(1)), Some(at(5 + 32))]);
    probe_fails(&mut breaker, Source::Events, at(6));
    assert_eq!(next(&breaker), [Some(at(8)), Some(at(5 + 32))]);
}

#[test]
fn what_was_in_flight_when_it_opened_does_not_put_the_first_probe_off() {
    let mut breaker = opened();
    (0..60).for_each(|_| assert!(!fail(&mut breaker, at(0))));
    assert_eq!(next(&breaker), [Some(at(1)), Some(at(1))]);
}

#[test]
fn it_pauses_from_a_failed_probe_until_the_next() {
    let mut breaker = opened();
    assert!(breaker.is_pausing(at(0)) && !breaker.is_pausing(at(1)));
    breaker.started(Source::Events);
    assert!(!breaker.is_pausing(at(0)), "its probe is in flight");
    fail(&mut breaker, at(5));
    assert!(breaker.is_pausing(at(6)) && !breaker.is_pausing(at(7)));
}

#[test]
fn a_probe_that_the_service_itself_fails_on_is_soon_followed_by_the_next() {
    for (status, pauses) in [
        (500, [1, 1, 1]),
        (502, [2, 4, 8]),
        (503, [2, 4, 8]),
        (504, [2, 4, 8]),
        (599, [1, 1, 1]),
    ] {
        let mut breaker = opened();
        for pause in pauses {
            breaker.started(Source::Events);
            breaker.failed(&failure(status), at(100));
            assert_eq!(next(&breaker)[0], Some(at(100 + pause)), "{status}");
        }
    }
    let mut breaker = opened();
    (0..5).for_each(|_| probe_fails(&mut breaker, Source::Events, at(100)));
    breaker.started(Source::Events);
    breaker.failed(&failure(500), at(200));
    assert_eq!(next(&breaker)[0], Some(at(201)), "it answers again");
}

#[test]
fn it_remembers_the_failure_that_opened_it_and_then_that_of_the_latest_probe() {
    let cause = |status| BreakerCause::of(&failure(status));
    let mut breaker = Breaker::new(Some(2), TIMES);
    breaker.failed(&failure(500), at(0));
    assert_eq!(breaker.cause(), None);
    breaker.failed(&failure(501), at(0));
    breaker.failed(&failure(502), at(0));
    assert_eq!(breaker.cause(), Some(&cause(501)));
    breaker.started(Source::Events);
    breaker.failed(&failure(503), at(1));
    assert_eq!(breaker.cause(), Some(&cause(503)));
}

#[test]
fn a_sign_of_life_closes_it_and_the_next_opening_starts_with_short_pauses() {
    let mut breaker = opened();
    probe_fails(&mut breaker, Source::Events, at(1));
    breaker.started(Source::Events);
    breaker.reset();
    assert!(!breaker.is_open() && !breaker.is_pausing(at(1)));
    (0..2).for_each(|_| assert!(!fail(&mut breaker, at(50))));
    assert!(fail(&mut breaker, at(50)));
    assert_eq!(next(&breaker), [Some(at(51)), Some(at(51))]);
}

/// The longest pause and the longest hold, with attempts of at most 15 s.
fn times(delays: Vec<Duration>, max_hold: Duration) -> (Duration, Duration) {
    let mut config = super::super::tests::config(1, 1);
    config.schedule = RetrySchedule::new(delays, 0.5);
    config.max_hold = max_hold;
    let times = Times::of(&config);
    assert!(times.longest_hold >= 2 * (times.longest_pause + 15 * SECOND));
    (times.longest_pause, times.longest_hold)
}

#[test]
fn a_delivery_is_held_for_the_whole_schedule_and_two_probes() {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    assert_eq!(
        times(vec![hours(10), hours(10)], 30 * DAY),
        (LONGEST_PAUSE, hours(30) + 630 * SECOND)
    );
}

#[test]
fn however_short_the_schedule_a_delivery_is_held_for_ten_minutes_with_short_pauses() {
    for delays in [vec![], vec![SECOND, 2 * SECOND]] {
        assert_eq!(times(delays, 30 * DAY), (15 * SECOND, 660 * SECOND));
    }
}

#[test]
fn where_nothing_is_held_for_long_the_breaker_holds_no_longer_than_it_needs() {
    assert_eq!(times(vec![SECOND, SECOND], SECOND), (SECOND, 35 * SECOND));
    assert_eq!(times(vec![], Duration::ZERO), (SECOND, 32 * SECOND));
}
