//! Stops, kills and starts: nothing acknowledged is lost, and an ordered stop repeats nothing.

use std::{cell::Cell, collections::BTreeSet};

use bytes::Bytes;
use futures_util::future::join_all;
use pointsman_receive::Behavior;
use serde_json::json;

use pointsman_test_kit::{DownService, Engine, Service, TestApp, Workspace, eventually, on_both_engines};

on_both_engines! {
    a_thousand_events_outlive_a_kill_while_the_service_is_down,
    an_acknowledged_event_outlives_a_kill_right_after,
    a_kill_in_the_middle_of_a_stream_loses_nothing,
    an_ordered_stop_in_the_middle_of_a_stream_loses_and_repeats_nothing,
    a_stop_does_not_wait_longer_than_its_grace,
    a_quit_is_an_ordered_stop_and_a_hang_up_is_ignored,
    a_session_survives_a_restart,
    the_order_of_the_log_goes_on_after_a_restart,
}

async fn a_thousand_events_outlive_a_kill_while_the_service_is_down(engine: Engine) {
    let mut app = TestApp::with(engine, |settings| settings.retrying_after(&["1s"; 100])).await;
    let workspace = app.workspace("acme").await;
    let down = DownService::reserve().expect("a free port");
    workspace
        .install_at("crm", down.url())
        .subscribed_to(&["crm.**"])
        .await;
    let mut published = Vec::new();
    for _ in 0..20 {
        published.extend(workspace.publish_many("crm.deal.closed", 50).await);
    }
    published.sort();

    app.kill();
    app.start_again().await;
    let service = down.come_up().await;
    assert_eq!(service.sorted_event_ids(1000).await, published);
    app.finish().await;
    assert_eq!(service.count(), 1000);
}

async fn an_acknowledged_event_outlives_a_kill_right_after(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    for count in 1..=3 {
        let event = workspace
            .publish("crm.deal.closed", json!({"count": count}))
            .await;
        app.kill();
        app.start_again().await;
        let events = workspace.events().await;
        assert_eq!((events.len(), &events[0]["id"]), (count, &json!(event)));
    }
    app.finish().await;
}

/// Publishes until the server refuses or is gone; the ids of what was acknowledged, sorted.
async fn stream(workspace: &Workspace, publishers: usize) -> Vec<String> {
    let over = Cell::new(false);
    let publisher = async || {
        let mut acknowledged = Vec::new();
        while !over.get() {
            let body = Bytes::from_static(br#"{"eventKey":"crm.deal.closed"}"#);
            let json = [("content-type", "application/json")];
            let path = workspace.path("/events/publish");
            match workspace.caller.try_send("POST", &path, &json, body).await {
                Ok(answer) if answer.status == 200 => {
                    acknowledged.extend(answer.header("x-event-id").map(str::to_owned));
                }
                Ok(answer) => {
                    answer.expect_problem(503, "OVERLOADED");
                    over.set(true);
                }
                Err(_) => over.set(true),
            }
        }
        acknowledged
    };
    let mut all = join_all((0..publishers).map(|_| publisher())).await.concat();
    all.sort();
    all
}

/// A server that is being published to, and the service that gets it all.
async fn streaming(app: &TestApp) -> (Workspace, Service) {
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    (workspace, service)
}

async fn a_kill_in_the_middle_of_a_stream_loses_nothing(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let (workspace, service) = streaming(&app).await;
    let killed = async {
        service.received(100).await;
        app.kill();
    };
    let (acknowledged, ()) = futures_util::future::join(stream(&workspace, 16), killed).await;

    app.start_again().await;
    let published = workspace.publish("crm.deal.closed", json!({})).await;
    app.finish().await;
    let arrived: BTreeSet<String> = service.event_ids(0).await.into_iter().collect();
    for event in acknowledged.iter().chain([&published]) {
        assert!(
            arrived.contains(event),
            "{event} was acknowledged and has not arrived"
        );
    }
    // What is repeated was under way when the server was killed: at most a window of deliveries.
    let repeats = service.count() - arrived.len() as u64;
    assert!(repeats <= 256, "{repeats} repeats");
}

async fn an_ordered_stop_in_the_middle_of_a_stream_loses_and_repeats_nothing(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let (workspace, service) = streaming(&app).await;
    let stopped = async {
        service.received(100).await;
        app.stop().await
    };
    let (acknowledged, status) = futures_util::future::join(stream(&workspace, 16), stopped).await;
    assert!(status.success(), "an ordered stop ends with {status}");
    assert!(acknowledged.len() >= 100);

    app.start_again().await;
    app.finish().await;
    let arrived = service.sorted_event_ids(0).await;
    let once: BTreeSet<&String> = arrived.iter().collect();
    assert_eq!(once.len(), arrived.len(), "an event was repeated");
    for event in &acknowledged {
        assert!(
            once.contains(event),
            "{event} was acknowledged and has not arrived"
        );
    }
}

async fn a_stop_does_not_wait_longer_than_its_grace(engine: Engine) {
    let mut app = TestApp::with(engine, |settings| settings.set("server.shutdown_grace", "3s")).await;
    let (workspace, service) = streaming(&app).await;
    service.behave(Behavior::hang());
    let event = workspace.publish("crm.deal.closed", json!({})).await;
    service.received(1).await;
    // The attempt may take 5 s by the settings of the kit, and goes on while the server stops.
    let status = app.stop().await;
    assert!(status.success(), "a stop ends with {status}");

    service.behave(Behavior::default());
    app.start_again().await;
    assert_eq!(service.event_ids(2).await, [event.clone(), event]);
    app.finish().await;
    assert_eq!(service.count(), 2);
}

async fn a_quit_is_an_ordered_stop_and_a_hang_up_is_ignored(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    app.signal("HUP");
    eventually("the hang-up is told of", async || {
        app.log()
            .contains("SIGHUP is ignored")
            .then_some(())
            .ok_or("not yet")
    })
    .await;
    let event = workspace.publish("crm.deal.closed", json!({})).await;
    app.signal("QUIT");
    let status = app.stopped().await;
    assert!(status.success(), "an ordered stop ends with {status}");
    app.start_again().await;
    assert_eq!(workspace.events().await[0]["id"], json!(event));
    app.finish().await;
}

async fn a_session_survives_a_restart(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let ann = app.member(&workspace, "ann", "MEMBER").await;
    let gone = app.user("gone").await.caller;
    gone.post("/api/auth/logout", &json!({})).await.expect(200);
    for killed in [false, true] {
        if killed {
            app.kill();
            app.start_again().await;
        } else {
            app.restart().await;
        }
        let me = ann.caller.get("/api/auth/me").await.expect(200).data();
        assert_eq!(me["id"], ann.id);
        workspace
            .seen_by(&ann.caller)
            .publish("crm.deal.closed", json!({}))
            .await;
        gone.get("/api/auth/me")
            .await
            .expect_problem(401, "UNAUTHENTICATED");
    }
    app.finish().await;
}

async fn the_order_of_the_log_goes_on_after_a_restart(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    for killed in [true, false] {
        workspace.publish_many("crm.deal.closed", 5).await;
        if killed {
            app.kill();
            app.start_again().await;
        } else {
            app.restart().await;
        }
    }
    workspace.publish_many("crm.deal.closed", 5).await;
    let events = workspace.events().await;
    let positions: Vec<i64> = events.iter().filter_map(|event| event["seq"].as_i64()).collect();
    assert_eq!(positions, (1..=15).rev().collect::<Vec<_>>());
    app.finish().await;
}
