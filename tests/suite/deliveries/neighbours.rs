//! An extension that is slow or fails does not affect the others.

use pointsman_receive::{Behavior, RawAnswer, RawReceiver};

use pointsman_test_kit::{Engine, Service, TestApp, on_both_engines};

on_both_engines! {
    a_hanging_service_slows_no_other_extension_and_no_publisher,
    a_paused_extension_slows_no_other,
    a_failing_service_slows_no_other_workspace,
    a_backlog_is_delivered_while_new_events_come,
}

/// More than a lane's window and a ring's worth of events.
const MANY: usize = 400;

async fn a_hanging_service_slows_no_other_extension_and_no_publisher(engine: Engine) {
    let app = TestApp::with(engine, |settings| settings.set("delivery.timeout", "30m")).await;
    let workspace = app.workspace("acme").await;
    let hanging = RawReceiver::start(vec![RawAnswer::Hang])
        .await
        .expect("a free port");
    workspace
        .install_at("hanging", hanging.url())
        .subscribed_to(&["crm.**"])
        .await;
    let service = Service::start().await;
    workspace
        .install_external("quick", &service)
        .subscribed_to(&["crm.**"])
        .await;

    // The time-out is longer than any wait of the kit: what arrives has not waited for it.
    let published = workspace.publish_many("crm.deal.closed", MANY).await;
    assert_eq!(service.sorted_event_ids(MANY as u64).await, published);
    assert!(
        hanging.requests() >= 1 && hanging.requests() <= 64,
        "bounded by the concurrency"
    );
    // The attempts that hang outlast the grace, and so are left for the next start.
    app.finish_leaving_unsettled().await;
    assert_eq!(service.count(), MANY as u64);
}

async fn a_paused_extension_slows_no_other(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let (paused, quick) = (Service::start().await, Service::start().await);
    let held = workspace
        .install_external("paused", &paused)
        .subscribed_to(&["crm.**"])
        .await;
    workspace
        .install_external("quick", &quick)
        .subscribed_to(&["crm.**"])
        .await;
    held.pause().await;
    let published = workspace.publish_many("crm.deal.closed", MANY).await;
    assert_eq!(quick.sorted_event_ids(MANY as u64).await, published);
    assert_eq!(paused.count(), 0);

    held.resume().await;
    assert_eq!(paused.sorted_event_ids(MANY as u64).await, published);
    app.finish().await;
    assert_eq!((paused.count(), quick.count()), (MANY as u64, MANY as u64));
}

async fn a_failing_service_slows_no_other_workspace(engine: Engine) {
    // Without a breaker, so that the failing service is called for every event.
    let app = TestApp::with(engine, |settings| {
        settings
            .set("delivery.breaker_failures", 1_000_000)
            .retrying_after(&["1h"])
    })
    .await;
    let (acme, globex) = (app.workspace("acme").await, app.workspace("globex").await);
    let (failing, quick) = (
        Service::behaving(Behavior::status(500)).await,
        Service::start().await,
    );
    acme.install_external("failing", &failing)
        .subscribed_to(&["crm.**"])
        .await;
    globex
        .install_external("quick", &quick)
        .subscribed_to(&["crm.**"])
        .await;
    let (_, published) = futures_util::future::join(
        acme.publish_many("crm.deal.closed", MANY),
        globex.publish_many("crm.deal.closed", MANY),
    )
    .await;
    assert_eq!(quick.sorted_event_ids(MANY as u64).await, published);
    // Twenty failures in a row open its breaker.
    failing.received(20).await;
    app.finish_leaving_unsettled().await;
    assert_eq!(quick.count(), MANY as u64);
}

async fn a_backlog_is_delivered_while_new_events_come(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    crm.pause().await;
    let mut published = workspace.publish_many("crm.deal.closed", MANY).await;
    crm.resume().await;
    published.extend(workspace.publish_many("crm.deal.closed", MANY).await);
    published.sort();
    assert_eq!(service.sorted_event_ids(2 * MANY as u64).await, published);
    app.finish().await;
    assert_eq!(service.count(), 2 * MANY as u64);
}
