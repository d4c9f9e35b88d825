//! Rows that something else has damaged: they are set aside, and everything else goes on.

use pointsman_receive::Behavior;
use sea_orm::ConnectionTrait as _;
use serde_json::json;

use pointsman_test_kit::{Engine, Service, TestApp, Workspace, on_both_engines};

on_both_engines! {
    an_event_whose_payload_is_not_json_becomes_a_dead_letter,
    a_retry_whose_event_is_gone_becomes_a_dead_letter,
    a_replay_whose_dead_letter_is_gone_is_dropped,
    a_cursor_beyond_the_head_does_not_swallow_what_comes,
    an_installation_without_a_cursor_goes_on,
}

/// Runs the statement while the server is down.
async fn damage(app: &mut TestApp, sql: &str) {
    assert!(app.stop().await.success());
    let database = app.database().await;
    let done = database.execute_unprepared(sql).await;
    let done = done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert!(done.rows_affected() > 0, "{sql}: no row");
    database.close().await.expect("a connection can be closed");
    app.start_again().await;
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

/// The log tells of it at level ERROR or WARN, with the id.
fn is_logged(app: &TestApp, id: &str) {
    let log = app.log();
    let mut loud = log
        .lines()
        .filter(|line| line.contains("ERROR") || line.contains("WARN"));
    assert!(
        loud.any(|line| line.contains(id)),
        "{id} is not in the log:\n{log}"
    );
}

async fn an_event_whose_payload_is_not_json_becomes_a_dead_letter(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let (late, prompt) = (Service::start().await, Service::start().await);
    let crm = workspace
        .install_external("late", &late)
        .subscribed_to(&["crm.**"])
        .await;
    workspace
        .install_external("prompt", &prompt)
        .subscribed_to(&["crm.**"])
        .await;
    crm.pause().await;
    let published = publish(&workspace, 3).await;
    prompt.received(3).await;
    damage(
        &mut app,
        "UPDATE platform_event SET payload = '{\"number\": 2' WHERE seq = 2",
    )
    .await;

    crm.resume().await;
    let letters = workspace.dead_letters_become(1, "reason=CORRUPT").await;
    assert_eq!(letters[0]["eventId"], json!(published[1]));
    assert_eq!(letters[0]["attemptsMade"], 0);
    let arrived = late.sorted_event_ids(2).await;
    assert_eq!(arrived, [published[0].clone(), published[2].clone()]);
    is_logged(&app, &published[1]);
    // The pages that hold it can be read, and what is published next arrives.
    assert_eq!(workspace.events().await.len(), 3);
    workspace.event(&published[1]).await;
    let next = workspace.publish("crm.deal.closed", json!({})).await;
    workspace.becomes(&next, &crm, "DELIVERED").await;
    app.finish().await;
    assert_eq!((late.count(), prompt.count()), (3, 4));
}

async fn a_retry_whose_event_is_gone_becomes_a_dead_letter(engine: Engine) {
    let mut app = TestApp::with(engine, |settings| settings.retrying_after(&["1s"; 3])).await;
    let workspace = app.workspace("acme").await;
    let service = Service::behaving(Behavior::status(503)).await;
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    let published = publish(&workspace, 3).await;
    for event in &published {
        workspace.becomes(event, &crm, "RETRYING").await;
    }
    service.behave(Behavior::default());
    damage(&mut app, "DELETE FROM platform_event WHERE seq = 2").await;

    let letters = workspace.dead_letters_become(1, "reason=CORRUPT").await;
    assert_eq!(letters[0]["eventId"], json!(published[1]));
    is_logged(&app, &published[1]);
    for event in [&published[0], &published[2]] {
        workspace.becomes(event, &crm, "DELIVERED").await;
    }
    app.finish().await;
}

async fn a_replay_whose_dead_letter_is_gone_is_dropped(engine: Engine) {
    let mut app = TestApp::with(engine, |settings| settings.retrying_after(&[])).await;
    let workspace = app.workspace("acme").await;
    let service = Service::behaving(Behavior::status(410)).await;
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    publish(&workspace, 1).await;
    let letters = workspace.dead_letters_become(1, "").await;
    let letter = letters[0]["id"].as_str().expect("a letter has an id");
    crm.pause().await;
    workspace.replay(letter).await.expect(202);
    damage(&mut app, "DELETE FROM dead_letter_event").await;

    service.behave(Behavior::default());
    crm.resume().await;
    let next = workspace.publish("crm.deal.closed", json!({})).await;
    workspace.becomes(&next, &crm, "DELIVERED").await;
    app.finish().await;
    assert_eq!(service.event_ids(2).await[1], next);
}

async fn a_cursor_beyond_the_head_does_not_swallow_what_comes(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    let mut published = publish(&workspace, 3).await;
    app.settled().await;
    damage(&mut app, "UPDATE ext_delivery_cursor SET settled_seq = 1000").await;

    published.extend(publish(&workspace, 3).await);
    published.sort();
    assert_eq!(service.sorted_event_ids(6).await, published);
    is_logged(&app, &crm.id);
    app.finish().await;
}

async fn an_installation_without_a_cursor_goes_on(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    publish(&workspace, 3).await;
    app.settled().await;
    let ours = "(SELECT id FROM ext_installation WHERE key = 'crm')";
    let sql = format!("DELETE FROM ext_delivery_cursor WHERE installation_id IN {ours}");
    damage(&mut app, &sql).await;

    // The position of the cursor is lost: what was delivered may be delivered again, and new events are delivered.
    let next = workspace.publish("crm.deal.closed", json!({})).await;
    workspace.becomes(&next, &crm, "DELIVERED").await;
    is_logged(&app, &crm.id);
    app.finish().await;
}
