//! A wall clock that jumps: nothing is lost, nothing stalls, nothing comes early.

use std::time::Duration;

use pointsman_clock::Clock;
use pointsman_receive::Behavior;
use serde_json::json;

use pointsman_test_kit::{Engine, Service, TestApp, WallClock, on_both_engines};

on_both_engines! {
    a_retry_comes_in_its_time_whatever_the_wall_clock_does,
    a_wall_clock_that_jumps_ahead_does_not_flood_a_service_with_retries,
    a_retry_outlives_a_wall_clock_that_is_set_back_during_a_restart,
    a_retry_outlives_a_wall_clock_that_is_set_ahead_during_a_restart,
}

const HOUR: i64 = 60 * 60;

async fn a_retry_comes_in_its_time_whatever_the_wall_clock_does(engine: Engine) {
    const PAUSE: Duration = Duration::from_secs(2);
    let clock = WallClock::new();
    let app = TestApp::with(engine, |settings| clock.of(settings).retrying_after(&["2s"])).await;
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    for (number, jump) in (1..).zip([HOUR, -HOUR, 0]) {
        service.behave(Behavior::fail_first(1));
        let published = Clock.instant();
        let event = workspace.publish("crm.deal.closed", json!({})).await;
        workspace.becomes(&event, &crm, "RETRYING").await;
        clock.set(jump);
        // Far less than an hour, or the wait fails the test.
        let arrived = service.received(2 * number).await;
        let took = Clock.elapsed(published);
        assert!(took >= PAUSE, "jump {jump}: the retry came after {took:?}");
        workspace.becomes(&event, &crm, "DELIVERED").await;
        assert_eq!(
            is_ahead(arrived.last().and_then(|last| last.header("webhook-timestamp"))),
            jump / HOUR
        );
    }
    app.finish().await;
    assert_eq!(service.count(), 6);
}

/// Whole hours between the machine's clock and this timestamp: shows that the jump was one.
fn is_ahead(timestamp: Option<&str>) -> i64 {
    let timestamp: i64 = timestamp.and_then(|text| text.parse().ok()).expect("a timestamp");
    let ahead = timestamp - Clock.wall().seconds();
    (ahead + HOUR / 2).div_euclid(HOUR)
}

async fn a_wall_clock_that_jumps_ahead_does_not_flood_a_service_with_retries(engine: Engine) {
    const PARKED: u64 = 30;
    let clock = WallClock::new();
    let app = TestApp::with(engine, |settings| {
        let settings = clock.of(settings).retrying_after(&["30m"]);
        settings.set("delivery.breaker_failures", 1000)
    })
    .await;
    let workspace = app.workspace("acme").await;
    let failing = Service::behaving(Behavior::status(503)).await;
    let quick = Service::start().await;
    for (key, service) in [("failing", &failing), ("quick", &quick)] {
        workspace
            .install_external(key, service)
            .subscribed_to(&["crm.**"])
            .await;
    }
    workspace.publish_many("crm.deal.closed", 30).await;
    failing.received(PARKED).await;
    clock.set(HOUR);
    // What makes the lanes look again.
    workspace.publish("crm.deal.closed", json!({})).await;
    quick.received(PARKED + 1).await;
    failing.received(PARKED + 1).await;
    app.finish_leaving_unsettled().await;
    assert_eq!(failing.count(), PARKED + 1, "each was attempted once");
}

async fn a_retry_outlives_a_wall_clock_that_is_set_back_during_a_restart(engine: Engine) {
    outlives(engine, -HOUR).await;
}

async fn a_retry_outlives_a_wall_clock_that_is_set_ahead_during_a_restart(engine: Engine) {
    outlives(engine, HOUR).await;
}

/// Once with an ordered stop and once with a kill: the clock is set by as much each time.
async fn outlives(engine: Engine, jump: i64) {
    let clock = WallClock::new();
    let mut app = TestApp::with(engine, |settings| clock.of(settings).retrying_after(&["2s"])).await;
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    for number in 1..=2 {
        service.behave(Behavior::fail_first(1));
        let event = workspace.publish("crm.deal.closed", json!({})).await;
        workspace.becomes(&event, &crm, "RETRYING").await;
        if number == 1 {
            assert!(app.stop().await.success());
        } else {
            app.kill();
        }
        clock.set(number * jump);
        app.start_again().await;
        workspace.becomes(&event, &crm, "DELIVERED").await;
    }
    app.finish().await;
    assert_eq!(service.count(), 4);
}
