//! What an operator reads in the log, and how often.

use std::io::Read as _;

use pointsman_receive::Behavior;
use serde_json::json;

use pointsman_test_kit::{Engine, Extension, Service, TestApp, Workspace, eventually, on_both_engines};

on_both_engines! {
    dead_letters_are_told_once_a_minute_with_their_number,
    a_breaker_that_opens_and_closes_is_told,
    a_breaker_that_goes_with_its_actor_is_told,
    a_setting_that_does_nothing_is_told,
    a_log_that_nobody_reads_holds_up_neither_publishers_nor_a_stop,
}

/// An extension `crm` whose service is away, and what is published for it.
async fn away(app: &TestApp) -> (Workspace, Service, Extension, String) {
    let workspace = app.workspace("acme").await;
    let service = Service::behaving(Behavior::status(503)).await;
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    let event = workspace.publish("crm.deal.closed", json!({})).await;
    (workspace, service, crm, event)
}

/// The lines with this text.
fn lines(app: &TestApp, text: &str) -> Vec<String> {
    let log = app.log();
    log.lines()
        .filter(|line| line.contains(text))
        .map(str::to_owned)
        .collect()
}

/// Waits for the first line with this text.
async fn line(app: &TestApp, text: &str) -> String {
    eventually(text, async || lines(app, text).into_iter().next().ok_or("none")).await
}

async fn dead_letters_are_told_once_a_minute_with_their_number(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let service = Service::behaving(Behavior::status(410)).await;
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    let event = workspace.publish("crm.deal.closed", json!({})).await;
    let told = line(&app, "a delivery has become a dead letter").await;
    for part in [
        "WARN",
        &format!("workspace={}", workspace.id),
        &format!("installation={}", crm.id),
        "extension=crm",
        &format!("event={event}"),
        "event_key=crm.deal.closed",
        "reason=GONE",
        "attempts=1",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    for _ in 0..20 {
        workspace.publish("crm.deal.closed", json!({})).await;
    }
    workspace.dead_letters_become(21, "").await;
    app.restart().await;
    assert_eq!(lines(&app, "a delivery has become a dead letter").len(), 1);
    let left_out = lines(&app, "more deliveries became dead letters");
    assert_eq!(left_out.len(), 1, "{left_out:#?}");
    assert!(left_out[0].contains("left_out=20"), "{left_out:#?}");
    app.finish().await;
}

async fn a_breaker_that_opens_and_closes_is_told(engine: Engine) {
    let app = TestApp::with(engine, |settings| {
        settings
            .set("delivery.breaker_failures", 2)
            .retrying_after(&["10ms", "10ms", "1h"])
    })
    .await;
    let (workspace, service, crm, event) = away(&app).await;
    let opened = line(&app, "a breaker has opened").await;
    service.behave(Behavior::default());
    workspace.becomes(&event, &crm, "DELIVERED").await;
    let closed = line(&app, "a breaker has closed").await;
    assert!(opened.contains("status=503"), "{opened}");
    for (line, level) in [(opened, "WARN"), (closed, "INFO")] {
        for part in [
            level,
            &format!("workspace={}", workspace.id),
            &format!("installation={}", crm.id),
            "extension=crm",
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
    app.finish().await;
}

async fn a_breaker_that_goes_with_its_actor_is_told(engine: Engine) {
    let app = TestApp::with(engine, |settings| {
        settings
            .set("delivery.breaker_failures", 2)
            .set("router.passivate_after", "50ms")
            .retrying_after(&["10ms", "1h"])
    })
    .await;
    let (_, service, crm, _) = away(&app).await;
    line(&app, "a breaker has opened").await;
    let closed = line(&app, "a breaker has closed").await;
    assert!(closed.contains(&format!("installation={}", crm.id)), "{closed}");
    assert_eq!(service.received(2).await.len(), 2, "and not since it was probed");
    crm.uninstall().await;
    app.finish().await;
}

async fn a_setting_that_does_nothing_is_told(engine: Engine) {
    let app = TestApp::with(engine, |settings| {
        settings
            .set("publish.max_batch_bytes", "1000000")
            .set("retention.events", "7d")
    })
    .await;
    let told = lines(&app, "a setting has no effect");
    assert_eq!(told.len(), 1, "{told:#?}");
    for part in ["WARN", "key=publish.max_batch_bytes", "no batches yet"] {
        assert!(told[0].contains(part), "{part} in {told:#?}");
    }
    app.finish().await;
}

async fn a_log_that_nobody_reads_holds_up_neither_publishers_nor_a_stop(engine: Engine) {
    let mut app = TestApp::with(engine, |settings| {
        settings.set("log.level", "trace").with_piped_log()
    })
    .await;
    let mut log = app.piped_log();
    let workspace = app.workspace("acme").await;
    for _ in 0..40 {
        workspace.publish_many("crm.deal.closed", 50).await;
    }
    assert!(app.stop().await.success());
    let mut read = Vec::new();
    log.read_to_end(&mut read).expect("a pipe can be read");
    let read = String::from_utf8(read).expect("the log is text");
    assert!(read.lines().count() > 100, "it is the log");
    assert!(!read.contains("stopped"), "the pipe was full before the end");
    app.start_again().await;
    assert_eq!(workspace.events().await[0]["seq"], 2000);
    app.finish().await;
}
