//! What the breaker is for, a service that is down, and what it must leave alone: a service that lives and does
//! not take some events.

use std::time::Duration;

use pointsman_clock::Clock;
use pointsman_domain::timestamp::Timestamp;
use pointsman_receive::Behavior;
use serde_json::{Value, json};

use pointsman_test_kit::{Engine, Extension, Service, TestApp, Workspace, eventually, on_both_engines};

on_both_engines! {
    refused_events_open_no_breaker,
    an_answer_that_refuses_a_probe_closes_the_breaker,
    failing_events_do_not_stop_the_rest,
    what_is_published_after_the_recovery_arrives_however_short_the_schedule,
    a_test_that_succeeds_closes_the_breaker,
    a_letter_of_what_the_breaker_held_names_the_cause,
}

const GOOD: &str = "crm.deal.closed";
const BAD: &str = "crm.deal.broken";

async fn install(workspace: &Workspace, service: &Service) -> Extension {
    workspace
        .install_external("crm", service)
        .subscribed_to(&["crm.**"])
        .await
}

async fn breaker(extension: &Extension) -> Value {
    extension.shown().await["health"]["breaker"].take()
}

async fn breaker_becomes(extension: &Extension, state: &str) -> Value {
    eventually(&format!("the breaker is {state}"), async || {
        let breaker = breaker(extension).await;
        if breaker["state"] == state {
            Ok(breaker)
        } else {
            Err(breaker)
        }
    })
    .await
}

/// Waits until all of these have arrived.
async fn all_arrive(service: &Service, events: &[String]) {
    eventually("all of them have arrived", async || {
        let arrived = service.event_ids(0).await;
        let missing = events.iter().filter(|id| !arrived.contains(id)).count();
        if missing == 0 {
            Ok(())
        } else {
            Err(format!("{missing} of {} are missing", events.len()))
        }
    })
    .await;
}

async fn refused_events_open_no_breaker(engine: Engine) {
    let app = TestApp::with(engine, |settings| settings.retrying_after(&["1h"])).await;
    let workspace = app.workspace("acme").await;
    let service = Service::behaving(Behavior::fail_where(BAD, 422)).await;
    let crm = install(&workspace, &service).await;
    let refused = workspace.publish_many(BAD, 30).await;
    for event in &refused {
        workspace.becomes(event, &crm, "RETRYING").await;
    }
    assert_eq!(breaker(&crm).await["state"], "CLOSED");
    let good = workspace.publish_many(GOOD, 10).await;
    all_arrive(&service, &good).await;
    app.finish_leaving_unsettled().await;
    assert_eq!(service.count(), 40);
}

async fn an_answer_that_refuses_a_probe_closes_the_breaker(engine: Engine) {
    let app = TestApp::with(engine, |settings| settings.retrying_after(&["1h"])).await;
    let workspace = app.workspace("acme").await;
    let service = Service::behaving(Behavior::status(503)).await;
    let crm = install(&workspace, &service).await;
    let published = workspace.publish_many(GOOD, 40).await;
    breaker_becomes(&crm, "OPEN").await;
    service.behave(Behavior::status(404));
    breaker_becomes(&crm, "CLOSED").await;
    all_arrive(&service, &published).await;
    assert_eq!(breaker(&crm).await["state"], "CLOSED");
    app.finish_leaving_unsettled().await;
}

async fn failing_events_do_not_stop_the_rest(engine: Engine) {
    let app = TestApp::with(engine, |settings| settings.retrying_after(&["1s", "2s", "4s"])).await;
    let workspace = app.workspace("acme").await;
    let service = Service::behaving(Behavior::fail_where(BAD, 500)).await;
    let crm = install(&workspace, &service).await;
    // The last good ones come while the bad ones are tried again, and hold the breaker open between them.
    let mut good = Vec::new();
    workspace.publish_many(BAD, 25).await;
    breaker_becomes(&crm, "OPEN").await;
    for _ in 0..3 {
        let more = workspace.publish_many(GOOD, 10).await;
        all_arrive(&service, &more).await;
        good.extend(more);
    }
    for event in &good {
        workspace.becomes(event, &crm, "DELIVERED").await;
    }
    let letters = workspace.dead_letters("reason=BREAKER_OPEN").await;
    assert!(letters.is_empty(), "{letters:?}");
    service.behave(Behavior::default());
    app.api("POST", &crm.path("/reset"), None).await.expect(200);
    app.finish().await;
}

async fn what_is_published_after_the_recovery_arrives_however_short_the_schedule(engine: Engine) {
    let app = TestApp::with(engine, |settings| settings.retrying_after(&["500ms", "500ms"])).await;
    let workspace = app.workspace("acme").await;
    let service = Service::behaving(Behavior::status(503)).await;
    let crm = install(&workspace, &service).await;
    workspace.publish_many(GOOD, 40).await;
    // Until the pause has grown longer than the schedule takes there is always something to probe with.
    eventually("the breaker pauses for long", async || {
        workspace.publish(GOOD, json!({})).await;
        let breaker = breaker(&crm).await;
        let next = breaker["nextProbeAt"].as_str().map(Timestamp::parse_rfc3339);
        let pause = next
            .and_then(Result::ok)
            .map(|at| at.since(Clock.wall()))
            .unwrap_or_default();
        if pause > Duration::from_millis(1_500) {
            Ok(())
        } else {
            Err(breaker)
        }
    })
    .await;
    service.behave(Behavior::default());
    let published = workspace.publish_many(GOOD, 20).await;
    for event in &published {
        workspace.becomes(event, &crm, "DELIVERED").await;
    }
    app.finish().await;
}

async fn a_test_that_succeeds_closes_the_breaker(engine: Engine) {
    let app = TestApp::with(engine, |settings| settings.retrying_after(&["1h"])).await;
    let workspace = app.workspace("acme").await;
    let service = Service::behaving(Behavior::status(500)).await;
    let crm = install(&workspace, &service).await;
    // All of them are tried, so that nothing is left to probe the service with.
    let published = workspace.publish_many(GOOD, 22).await;
    for event in &published {
        workspace.becomes(event, &crm, "RETRYING").await;
    }
    assert_eq!(breaker(&crm).await["state"], "OPEN");
    let test = async || {
        let answer = app.api("POST", &crm.path("/test"), None).await;
        answer.expect(200).data()["outcome"].take()
    };
    assert_eq!(test().await, "HTTP_5XX");
    assert_eq!(breaker(&crm).await["state"], "OPEN");
    service.behave(Behavior::default());
    assert_eq!(test().await, "DELIVERED");
    assert_eq!(breaker(&crm).await["state"], "CLOSED");
    app.finish_leaving_unsettled().await;
}

async fn a_letter_of_what_the_breaker_held_names_the_cause(engine: Engine) {
    let app = TestApp::with(engine, |settings| {
        // Nothing is held for long, so that the letters come soon.
        let settings = settings
            .set("retention.max_hold", "1s")
            .set("delivery.timeout", "1s");
        settings.retrying_after(&["300ms", "300ms"])
    })
    .await;
    let workspace = app.workspace("acme").await;
    let service = Service::behaving(Behavior::status(500)).await;
    let crm = install(&workspace, &service).await;
    let published = workspace.publish_many(GOOD, 60).await;
    let cause = "the service answered 500 Internal Server Error";
    let open = breaker_becomes(&crm, "OPEN").await;
    assert_eq!(
        (&open["lastError"], &open["lastStatus"]),
        (&json!(cause), &json!(500))
    );
    let letters = workspace.dead_letters_become(published.len(), "").await;
    let untried: Vec<&Value> = letters
        .iter()
        .filter(|letter| letter["reason"] == "BREAKER_OPEN" && letter["attemptsMade"] == 0)
        .collect();
    assert!(!untried.is_empty(), "{letters:?}");
    for letter in untried {
        let error = letter["lastError"].as_str().unwrap_or_default();
        let held = error.starts_with("held by the open breaker since 20");
        assert!(held && error.contains(cause), "{letter}");
        assert_eq!(letter["lastStatus"], 500, "{letter}");
    }
    app.finish().await;
}
