//! The settings of a lane (`ordered`, `concurrency`, `rateLimit`, `retention.max_hold`), and its breaker for a service
//! that fails again and again.

use std::time::Duration;

use pointsman_clock::Clock;
use pointsman_receive::Behavior;
use serde_json::{Value, json};

use pointsman_test_kit::{Engine, Extension, Service, TestApp, Workspace, eventually, on_both_engines};

on_both_engines! {
    an_ordered_extension_finishes_events_in_the_order_of_the_log,
    a_failing_event_holds_those_behind_it_across_a_kill,
    a_dead_event_lets_those_behind_it_go,
    the_breaker_opens_after_failures_in_a_row_and_closes_at_a_success,
    a_reset_closes_the_breaker_at_once,
    what_an_open_breaker_holds_too_long_becomes_a_dead_letter,
    a_rate_limit_slows_deliveries_and_burns_no_attempts,
    what_is_held_longer_than_the_retention_allows_becomes_a_dead_letter,
}

async fn install(workspace: &Workspace, key: &str, service: &Service) -> Extension {
    workspace
        .install_external(key, service)
        .subscribed_to(&["crm.**"])
        .await
}

/// One after the other, so that their positions are known.
async fn publish(workspace: &Workspace, count: u32) -> Vec<String> {
    let mut published = Vec::new();
    for number in 1..=count {
        published.push(
            workspace
                .publish("crm.deal.closed", json!({"number": number}))
                .await,
        );
    }
    published
}

async fn breaker_becomes(extension: &Extension, state: &str) -> Value {
    eventually(&format!("the breaker is {state}"), async || {
        let breaker = extension.shown().await["health"]["breaker"].take();
        if breaker["state"] == state {
            Ok(breaker)
        } else {
            Err(breaker)
        }
    })
    .await
}

async fn an_ordered_extension_finishes_events_in_the_order_of_the_log(engine: Engine) {
    let app = TestApp::with(engine, |settings| settings.retrying_after(&["200ms"; 5])).await;
    let workspace = app.workspace("acme").await;
    let (ordered, neighbour) = (Service::start().await, Service::start().await);
    let crm = install(&workspace, "ordered", &ordered).await;
    install(&workspace, "neighbour", &neighbour).await;
    crm.update(json!({"ordered": true})).await;
    assert_eq!(crm.shown().await["ordered"], true);

    ordered.behave(Behavior::fail_first(2));
    let published = publish(&workspace, 10).await;
    let mut expected = vec![published[0].clone(); 2];
    expected.extend(published.iter().cloned());
    assert_eq!(ordered.event_ids(12).await, expected);
    let mut sorted = published;
    sorted.sort();
    assert_eq!(neighbour.sorted_event_ids(10).await, sorted);
    app.finish().await;
    assert_eq!((ordered.count(), neighbour.count()), (12, 10));
}

async fn a_failing_event_holds_those_behind_it_across_a_kill(engine: Engine) {
    let mut app = TestApp::with(engine, |settings| settings.retrying_after(&["500ms"; 50])).await;
    let workspace = app.workspace("acme").await;
    let service = Service::behaving(Behavior::status(500)).await;
    let crm = install(&workspace, "ordered", &service).await;
    crm.update(json!({"ordered": true})).await;
    let published = publish(&workspace, 10).await;
    workspace.becomes(&published[0], &crm, "RETRYING").await;
    app.kill();
    let before = service.count();
    service.behave(Behavior::default());
    app.start_again().await;
    // A retry that the kill has cut off may have come in between.
    let arrived = service.event_ids(before + 10).await;
    let after: Vec<&String> = arrived.iter().skip_while(|id| **id == published[0]).collect();
    assert_eq!(after, published[1..].iter().collect::<Vec<_>>());
    app.finish().await;
}

async fn a_dead_event_lets_those_behind_it_go(engine: Engine) {
    let app = TestApp::with(engine, |settings| settings.retrying_after(&["100ms"])).await;
    let workspace = app.workspace("acme").await;
    let service = Service::behaving(Behavior::fail_first(2)).await;
    let crm = install(&workspace, "ordered", &service).await;
    crm.update(json!({"ordered": true})).await;
    let published = publish(&workspace, 3).await;
    workspace.becomes(&published[0], &crm, "DEAD").await;
    let first = &published[0];
    let arrived = service.event_ids(4).await;
    let arrived: Vec<&String> = arrived.iter().collect();
    assert_eq!(arrived, [first, first, &published[1], &published[2]]);
    app.finish().await;
}

/// More attempts than open the breaker can be in flight when it opens.
const STARTED_AT_MOST: u64 = 8;

async fn the_breaker_opens_after_failures_in_a_row_and_closes_at_a_success(engine: Engine) {
    let app = TestApp::with(engine, |settings| {
        let settings = settings.set("delivery.breaker_failures", 5);
        settings.retrying_after(&["10s"; 10])
    })
    .await;
    let workspace = app.workspace("acme").await;
    let service = Service::behaving(Behavior::status(500)).await;
    let crm = install(&workspace, "crm", &service).await;
    assert_eq!(crm.shown().await["health"]["breaker"]["state"], "CLOSED");
    let mut published = workspace.publish_many("crm.deal.closed", 100).await;
    let breaker = breaker_becomes(&crm, "OPEN").await;
    assert!(
        breaker["since"].is_string() && breaker["nextProbeAt"].is_string(),
        "{breaker}"
    );
    let attempted = service.count();
    assert!(attempted <= 5 + STARTED_AT_MOST, "{attempted} attempts");

    // The next probe is taken, and the lane drains. What failed before waits for its retry.
    service.behave(Behavior::default());
    breaker_becomes(&crm, "CLOSED").await;
    published.sort();
    let mut arrived = service.event_ids(100 + attempted).await;
    arrived.sort();
    arrived.dedup();
    assert_eq!(arrived, published);
    app.finish().await;
}

async fn a_reset_closes_the_breaker_at_once(engine: Engine) {
    let app = TestApp::with(engine, |settings| {
        let settings = settings.set("delivery.breaker_failures", 5);
        settings.retrying_after(&["2s"; 10])
    })
    .await;
    let workspace = app.workspace("acme").await;
    let service = Service::behaving(Behavior::status(500)).await;
    let crm = install(&workspace, "crm", &service).await;
    let published = workspace.publish_many("crm.deal.closed", 50).await;
    breaker_becomes(&crm, "OPEN").await;
    service.behave(Behavior::default());
    let reset = workspace.caller.post(&crm.path("/reset"), &json!({})).await;
    reset.expect(200);
    assert_eq!(crm.shown().await["health"]["breaker"]["state"], "CLOSED");
    for event in &published {
        workspace.becomes(event, &crm, "DELIVERED").await;
    }
    app.finish().await;
}

async fn what_an_open_breaker_holds_too_long_becomes_a_dead_letter(engine: Engine) {
    let app = TestApp::with(engine, |settings| {
        // Nothing is held for long, so that the letters come soon.
        let settings = settings.set("retention.max_hold", "1s");
        let settings = settings.set("delivery.timeout", "1s");
        let settings = settings.set("delivery.breaker_failures", 3);
        settings.retrying_after(&["300ms", "300ms"])
    })
    .await;
    let workspace = app.workspace("acme").await;
    let (failing, quick) = (
        Service::behaving(Behavior::status(500)).await,
        Service::start().await,
    );
    install(&workspace, "failing", &failing).await;
    install(&workspace, "quick", &quick).await;
    let published = workspace.publish_many("crm.deal.closed", 100).await;
    assert_eq!(quick.sorted_event_ids(100).await, published);
    let letters = workspace.dead_letters_become(100, "").await;
    let held = letters.iter().filter(|letter| letter["reason"] == "BREAKER_OPEN");
    let untried = held.filter(|letter| letter["attemptsMade"] == 0).count();
    assert!(untried >= 50, "{untried} of 100 were given up untried");
    app.finish().await;
}

async fn a_rate_limit_slows_deliveries_and_burns_no_attempts(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let (limited, quick) = (Service::start().await, Service::start().await);
    let crm = install(&workspace, "limited", &limited).await;
    install(&workspace, "quick", &quick).await;
    crm.update(json!({"rateLimit": 10})).await;
    let started = Clock.instant();
    let published = workspace.publish_many("crm.deal.closed", 40).await;
    assert_eq!(quick.sorted_event_ids(40).await, published);
    assert_eq!(limited.sorted_event_ids(40).await, published);
    // One second's worth may come at once.
    let took = Clock.elapsed(started);
    assert!(
        took >= Duration::from_millis(2900),
        "40 at 10 a second took {took:?}"
    );
    for event in &published {
        workspace.becomes(event, &crm, "DELIVERED").await;
        workspace.attempts_become(1, event, &crm).await;
    }

    // Without a limit again.
    crm.update(json!({"rateLimit": null})).await;
    assert_eq!(crm.shown().await["rateLimit"], Value::Null);
    workspace.publish_many("crm.deal.closed", 40).await;
    limited.received(80).await;
    app.finish().await;
}

async fn what_is_held_longer_than_the_retention_allows_becomes_a_dead_letter(engine: Engine) {
    let app = TestApp::with(engine, |settings| settings.set("retention.max_hold", "1s")).await;
    let workspace = app.workspace("acme").await;
    let (paused, quick) = (Service::start().await, Service::start().await);
    let crm = install(&workspace, "paused", &paused).await;
    install(&workspace, "quick", &quick).await;
    crm.pause().await;
    let published = workspace.publish_many("crm.deal.closed", 20).await;
    let letters = workspace.dead_letters_become(20, "reason=EXPIRED").await;
    assert!(
        letters.iter().all(|letter| letter["attemptsMade"] == 0),
        "{letters:?}"
    );
    assert_eq!(quick.sorted_event_ids(20).await, published);

    // What is published after it goes on is delivered.
    crm.resume().await;
    let next = workspace.publish("crm.deal.closed", json!({})).await;
    assert_eq!(paused.event_ids(1).await, [next]);
    app.finish().await;
}
