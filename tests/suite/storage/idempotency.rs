//! Publishing under an `Idempotency-Key`: repeating it creates nothing.

use futures_util::future::join_all;
use serde_json::json;

use pointsman_test_kit::{Answer, Engine, Service, TestApp, Workspace, on_both_engines};

on_both_engines! {
    the_same_key_and_body_answer_as_the_first_time,
    the_same_key_with_another_body_is_refused,
    a_key_survives_a_restart_and_a_crash,
    a_key_belongs_to_its_workspace,
    a_key_that_is_none_is_named,
    a_refused_publish_leaves_its_key_free,
    of_many_at_once_under_one_key_one_is_recorded,
}

const BODY: &str = r#"{"eventKey":"crm.deal.closed","payload":{"amount":1}}"#;

async fn publish(workspace: &Workspace, key: &str, body: &str) -> Answer {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    workspace
        .caller
        .send(
            "POST",
            &workspace.path("/events/publish"),
            &headers,
            body.to_owned(),
        )
        .await
}

/// The status, the body, and where the event is.
fn told(answer: &Answer) -> (u16, String, [Option<String>; 2]) {
    let header = |name| answer.header(name).map(str::to_owned);
    (
        answer.status,
        answer.shown(),
        [header("x-event-id"), header("location")],
    )
}

async fn the_same_key_and_body_answer_as_the_first_time(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    workspace
        .install_external("all", &service)
        .subscribed_to(&["**"])
        .await;
    let first = publish(&workspace, "order-1", BODY).await.expect(200);
    assert_eq!(first.header("idempotency-replayed"), None);
    assert_eq!(first.shown(), r#"{"code":"SUCCESS"}"#);
    for _ in 0..3 {
        let again = publish(&workspace, "order-1", BODY).await;
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_eq!(told(&again), told(&first));
    }
    let other = publish(&workspace, "order-2", BODY).await.expect(200);
    assert_eq!(other.header("idempotency-replayed"), None);
    assert_eq!(workspace.events().await.len(), 2);
    service.received(2).await;
    app.finish().await;
    assert_eq!(service.count(), 2);
}

async fn the_same_key_with_another_body_is_refused(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    publish(&workspace, "order-1", BODY).await.expect(200);
    // Other bytes are another body, even where they mean the same.
    for body in [
        r#"{"eventKey":"crm.deal.closed","payload":{"amount":2}}"#.to_owned(),
        format!("{BODY} "),
    ] {
        publish(&workspace, "order-1", &body)
            .await
            .expect_problem(422, "IDEMPOTENCY_KEY_REUSED");
    }
    let first = publish(&workspace, "order-1", BODY).await.expect(200);
    assert_eq!(first.header("idempotency-replayed"), Some("true"));
    assert_eq!(workspace.events().await.len(), 1);
    app.finish().await;
}

async fn a_key_survives_a_restart_and_a_crash(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let first = publish(&workspace, "order-1", BODY).await.expect(200);
    app.restart().await;
    let again = publish(&workspace, "order-1", BODY).await;
    assert_eq!(told(&again), told(&first));
    app.kill();
    app.start_again().await;
    let again = publish(&workspace, "order-1", BODY).await;
    assert_eq!(told(&again), told(&first));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    publish(&workspace, "order-1", r#"{"eventKey":"a.b"}"#)
        .await
        .expect_problem(422, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(workspace.events().await.len(), 1);
    app.finish().await;
}

async fn a_key_belongs_to_its_workspace(engine: Engine) {
    let app = TestApp::start(engine).await;
    let (acme, globex) = (app.workspace("acme").await, app.workspace("globex").await);
    let ours = publish(&acme, "order-1", BODY).await.expect(200);
    let theirs = publish(&globex, "order-1", r#"{"eventKey":"a.b"}"#)
        .await
        .expect(200);
    assert_eq!(theirs.header("idempotency-replayed"), None);
    assert_ne!(ours.header("x-event-id"), theirs.header("x-event-id"));
    assert_eq!((acme.events().await.len(), globex.events().await.len()), (1, 1));
    app.finish().await;
}

async fn a_key_that_is_none_is_named(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let long = "k".repeat(256);
    for key in ["", "two words", "tab\there", "\u{e9}", long.as_str()] {
        let answer = publish(&workspace, key, BODY).await;
        let answer = answer.expect_problem(400, "VALIDATION_FAILED");
        assert_eq!(answer.wrong_fields(), ["Idempotency-Key"], "{key:?}");
    }
    assert!(workspace.events().await.is_empty());
    for key in ["k".repeat(255), "!".to_owned(), "\"quoted~\"".to_owned()] {
        publish(&workspace, &key, BODY).await.expect(200);
    }
    assert_eq!(workspace.events().await.len(), 3);
    app.finish().await;
}

async fn a_refused_publish_leaves_its_key_free(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    publish(&workspace, "order-1", r#"{"eventKey":"deal"}"#)
        .await
        .expect_problem(400, "VALIDATION_FAILED");
    let first = publish(&workspace, "order-1", BODY).await.expect(200);
    assert_eq!(first.header("idempotency-replayed"), None);
    app.finish().await;
}

async fn of_many_at_once_under_one_key_one_is_recorded(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    for round in 0..5 {
        let key = format!("order-{round}");
        let body = json!({"eventKey": "a.b", "payload": {"round": round}}).to_string();
        let answers = join_all((0..24).map(|_| publish(&workspace, &key, &body))).await;
        let mut ids = Vec::new();
        let mut firsts = 0;
        for answer in &answers {
            match answer.status {
                200 => {
                    firsts += u32::from(answer.header("idempotency-replayed").is_none());
                    ids.push(answer.header("x-event-id").expect("the event's id").to_owned());
                }
                _ => {
                    assert_eq!(
                        (answer.status, answer.code().as_str()),
                        (409, "IDEMPOTENCY_KEY_IN_USE")
                    );
                    assert!(answer.header("retry-after").is_some());
                }
            }
        }
        ids.dedup();
        assert_eq!((firsts, ids.len()), (1, 1), "round {round}");
        assert_eq!(workspace.events().await.len(), round + 1);
    }
    app.finish().await;
}
