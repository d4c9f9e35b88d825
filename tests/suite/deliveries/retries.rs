//! Failed deliveries: tried again by the schedule, and given up where that is the end of it.

use pointsman_receive::{Behavior, RawAnswer, RawReceiver};
use serde_json::{Value, json};

use pointsman_test_kit::{Engine, Service, TestApp, on_both_engines};

on_both_engines! {
    a_failed_delivery_is_tried_again_with_the_same_id,
    the_history_tells_every_attempt,
    the_last_failure_and_success_outlive_the_process,
    retry_after_is_a_minimum,
    gone_is_a_dead_letter_at_once,
    a_service_may_abort_one_message,
    a_service_may_ask_to_be_disabled,
    an_exhausted_schedule_is_a_dead_letter,
    an_empty_schedule_means_one_attempt,
    a_redirect_is_a_failure_and_is_not_followed,
    a_service_that_cannot_be_reached_is_a_failure,
    no_answer_in_time_is_a_failure,
    a_complete_head_is_enough,
    a_changed_address_holds_from_the_next_attempt,
    an_address_that_is_not_allowed_is_never_called,
}

async fn a_failed_delivery_is_tried_again_with_the_same_id(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let service = Service::behaving(Behavior::fail_first(2)).await;
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    service.knows_secret(&crm.secret);
    let event = workspace
        .publish("crm.deal.closed", json!({"amount": "5000.00"}))
        .await;

    let received = service.received(3).await;
    for delivery in &received {
        assert_eq!(delivery.event_id(), Some(event.as_str()));
        assert_eq!(delivery.body, received[0].body);
        assert!(pointsman_test_kit::is_signed(delivery));
    }
    workspace.becomes(&event, &crm, "DELIVERED").await;
    assert!(workspace.dead_letters("").await.is_empty());
    app.finish().await;
    assert_eq!(service.count(), 3);
}

async fn the_history_tells_every_attempt(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let service = Service::behaving(Behavior::fail_first(1).with_body("the body of the answer")).await;
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    let event = workspace.publish("crm.deal.closed", json!({})).await;
    service.received(2).await;

    let attempts = workspace.attempts_become(2, &event, &crm).await;
    let told = |attempt: &Value| {
        ["number", "kind", "outcome", "httpStatus", "response"].map(|member| attempt[member].clone())
    };
    let answer = json!("the body of the answer");
    assert_eq!(
        told(&attempts[0]),
        [
            json!(1),
            json!("LIVE"),
            json!("HTTP_5XX"),
            json!(500),
            answer.clone()
        ]
    );
    assert_eq!(
        told(&attempts[1]),
        [json!(2), json!("LIVE"), json!("DELIVERED"), json!(200), answer]
    );
    app.finish().await;
}

async fn the_last_failure_and_success_outlive_the_process(engine: Engine) {
    let mut app = TestApp::with(engine, |settings| settings.retrying_after(&["1h"])).await;
    let workspace = app.workspace("acme").await;
    let service = Service::behaving(Behavior::fail_first(1)).await;
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    let health = async || crm.shown().await["health"].clone();
    assert_eq!(health().await["lastFailureAt"], Value::Null);

    let failing = workspace.publish("crm.deal.closed", json!({})).await;
    workspace.becomes(&failing, &crm, "RETRYING").await;
    let before = health().await;
    app.restart().await;
    let retrying = health().await;
    assert!(retrying["lastFailureAt"].is_string(), "{retrying}");
    assert_eq!(retrying["lastFailureAt"], before["lastFailureAt"]);
    assert_eq!(
        (&retrying["lastSuccessAt"], &retrying["retrying"]),
        (&Value::Null, &json!(1))
    );

    let taken = workspace.publish("crm.deal.closed", json!({})).await;
    workspace.becomes(&taken, &crm, "DELIVERED").await;
    app.restart().await;
    let delivered = health().await;
    assert!(delivered["lastSuccessAt"].is_string(), "{delivered}");
    assert_eq!(delivered["lastFailureAt"], before["lastFailureAt"]);
    app.finish_leaving_unsettled().await;
}

async fn retry_after_is_a_minimum(engine: Engine) {
    let app = TestApp::with(engine, |settings| settings.retrying_after(&["1ms"])).await;
    let workspace = app.workspace("acme").await;
    let service = Service::behaving(Behavior::status(503).with_header("Retry-After", "1")).await;
    workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    workspace.publish("crm.deal.closed", json!({})).await;
    service.received(1).await;
    service.behave(Behavior::default());

    let received = service.received(2).await;
    let clock_of = |number: usize| -> u64 {
        let seconds = received[number].header("webhook-timestamp").expect("a timestamp");
        seconds.parse().expect("seconds")
    };
    assert!(
        clock_of(1) > clock_of(0),
        "the second attempt is a second later, not a millisecond"
    );
    app.finish().await;
    assert_eq!(service.count(), 2);
}

async fn gone_is_a_dead_letter_at_once(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let service = Service::behaving(Behavior::status(410)).await;
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    let event = workspace.publish("crm.deal.closed", json!({})).await;

    let letter = workspace.dead_letters_become(1, "").await.remove(0);
    assert_eq!(letter["eventId"], event);
    assert_eq!(letter["extensionId"], crm.id);
    assert_eq!(
        (&letter["reason"], &letter["status"]),
        (&json!("GONE"), &json!("DEAD"))
    );
    assert_eq!(
        (&letter["lastStatus"], &letter["attemptsMade"]),
        (&json!(410), &json!(1))
    );
    assert_eq!(workspace.delivery_status(&event, &crm).await, "DEAD");
    app.finish().await;
    assert_eq!(service.count(), 1);
}

async fn a_service_may_abort_one_message(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let abort = Behavior::status(400).with_header("webhook-delivery", "abort-message");
    let service = Service::behaving(abort).await;
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    workspace.publish("crm.deal.closed", json!({})).await;
    let letter = workspace.dead_letters_become(1, "").await.remove(0);
    assert_eq!(
        (&letter["reason"], &letter["attemptsMade"]),
        (&json!("ABORTED"), &json!(1))
    );

    service.behave(Behavior::default());
    let next = workspace.publish("crm.deal.closed", json!({})).await;
    assert_eq!(service.event_ids(2).await[1], next);
    assert_eq!(crm.shown().await["enabled"], true);
    app.finish().await;
    assert_eq!(service.count(), 2);
}

async fn a_service_may_ask_to_be_disabled(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let disable = Behavior::status(400).with_header("webhook-delivery", "disable");
    let service = Service::behaving(disable).await;
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    let event = workspace.publish("crm.deal.closed", json!({})).await;
    let letter = workspace.dead_letters_become(1, "").await.remove(0);
    assert_eq!(
        (&letter["eventId"], &letter["reason"]),
        (&json!(event), &json!("ABORTED"))
    );
    pointsman_test_kit::eventually("the extension is disabled", async || {
        let shown = crm.shown().await;
        if shown["enabled"] == false {
            Ok(())
        } else {
            Err(shown)
        }
    })
    .await;

    let next = workspace.publish("crm.deal.closed", json!({})).await;
    assert_eq!(workspace.delivery_status(&next, &crm).await, "DISABLED");
    app.finish().await;
    assert_eq!(service.count(), 1);
}

async fn an_exhausted_schedule_is_a_dead_letter(engine: Engine) {
    let app = TestApp::with(engine, |settings| settings.retrying_after(&["20ms", "40ms"])).await;
    let workspace = app.workspace("acme").await;
    let service = Service::behaving(Behavior::status(418).with_body("I am a teapot")).await;
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    let body =
        r#"{"eventKey":"crm.deal.closed","schemaVersion":"1.0","actor":"ann","payload":{"n": 5000.00}}"#;
    workspace.publish_raw(body).await.expect(200);

    let letter = workspace.dead_letters_become(1, "").await.remove(0);
    assert_eq!(
        (&letter["reason"], &letter["attemptsMade"]),
        (&json!("RETRIES_EXHAUSTED"), &json!(3))
    );
    assert_eq!(
        (&letter["lastStatus"], &letter["extensionKey"]),
        (&json!(418), &json!("crm"))
    );
    assert!(
        letter["lastError"]
            .as_str()
            .is_some_and(|error| error.contains("418")),
        "{letter}"
    );
    assert_eq!(
        (&letter["schemaVersion"], &letter["actor"]),
        (&json!("1.0"), &json!("ann"))
    );
    let path = format!(
        "/events/dead-letters/{}",
        letter["id"].as_str().unwrap_or_default()
    );
    let shown = workspace.get(&path).await.expect(200);
    let text = String::from_utf8_lossy(&shown.body).into_owned();
    assert!(text.contains(r#""payload":{"n": 5000.00}"#), "{text}");
    assert_eq!(crm.shown().await["enabled"], true);
    app.finish().await;
    assert_eq!(service.count(), 3);
}

async fn an_empty_schedule_means_one_attempt(engine: Engine) {
    // Without a breaker, which would hold back what comes after the twentieth failure.
    let app = TestApp::with(engine, |settings| {
        settings
            .set("delivery.breaker_failures", 1_000_000)
            .retrying_after(&[])
    })
    .await;
    let workspace = app.workspace("acme").await;
    let service = Service::behaving(Behavior::status(500)).await;
    workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    workspace.publish_many("crm.deal.closed", 30).await;
    let letters = workspace.dead_letters_become(30, "").await;
    for letter in &letters {
        assert_eq!(
            (&letter["reason"], &letter["attemptsMade"]),
            (&json!("RETRIES_EXHAUSTED"), &json!(1))
        );
    }
    app.finish().await;
    assert_eq!(service.count(), 30);
}

async fn a_redirect_is_a_failure_and_is_not_followed(engine: Engine) {
    let app = TestApp::with(engine, |settings| settings.retrying_after(&[])).await;
    let workspace = app.workspace("acme").await;
    let elsewhere = Service::start().await;
    let location = format!("{}/events", elsewhere.url());
    for status in [301, 302, 307, 308] {
        let service = Service::behaving(Behavior::status(status).with_header("Location", &location)).await;
        let key = format!("redirecting-{status}");
        let extension = workspace
            .install_external(&key, &service)
            .subscribed_to(&["crm.**"])
            .await;
        let event = workspace.publish("crm.deal.closed", json!({})).await;
        let delivery = workspace.becomes(&event, &extension, "DEAD").await;
        assert_eq!(delivery["deadLetterReason"], "RETRIES_EXHAUSTED");
        let letter = workspace
            .dead_letter(delivery["deadLetterId"].as_str().unwrap_or_default())
            .await;
        assert_eq!(letter["lastStatus"], status);
        let attempt = app
            .api("POST", &extension.path("/test"), None)
            .await
            .expect(200)
            .data();
        assert_eq!(attempt["outcome"], "HTTP_3XX");
        extension.uninstall().await;
    }
    app.finish().await;
    assert_eq!(elsewhere.count(), 0);
}

async fn a_service_that_cannot_be_reached_is_a_failure(engine: Engine) {
    let app = TestApp::with(engine, |settings| settings.retrying_after(&[])).await;
    let workspace = app.workspace("acme").await;
    let closing = RawReceiver::start(vec![RawAnswer::Close])
        .await
        .expect("a free port");
    let nonsense = RawReceiver::start(vec![RawAnswer::BytesThenClose("nonsense\r\n\r\n".into())]).await;
    let nonsense = nonsense.expect("a free port");
    let down = pointsman_test_kit::DownService::reserve().expect("a free port");
    for (key, url, outcome) in [
        ("down", down.url(), "CONNECT"),
        ("closing", closing.url(), "PROTOCOL"),
        ("nonsense", nonsense.url(), "PROTOCOL"),
    ] {
        let extension = workspace.install_at(key, url).subscribed_to(&["crm.**"]).await;
        let event = workspace.publish("crm.deal.closed", json!({})).await;
        let delivery = workspace.becomes(&event, &extension, "DEAD").await;
        let letter = workspace
            .dead_letter(delivery["deadLetterId"].as_str().unwrap_or_default())
            .await;
        assert_eq!(letter["lastStatus"], Value::Null, "{key}");
        assert!(
            letter["lastError"]
                .as_str()
                .is_some_and(|error| !error.is_empty()),
            "{key}: {letter}"
        );
        let attempt = app
            .api("POST", &extension.path("/test"), None)
            .await
            .expect(200)
            .data();
        assert_eq!(attempt["outcome"], outcome, "{key}");
        extension.uninstall().await;
    }
    app.finish().await;
}

async fn no_answer_in_time_is_a_failure(engine: Engine) {
    let app = TestApp::with(engine, |settings| settings.set("delivery.timeout", "200ms")).await;
    let workspace = app.workspace("acme").await;
    let service = Service::behaving(Behavior::hang()).await;
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    let event = workspace.publish("crm.deal.closed", json!({})).await;
    service.received(1).await;
    service.behave(Behavior::default());
    assert_eq!(service.event_ids(2).await, [event.clone(), event.clone()]);
    workspace.becomes(&event, &crm, "DELIVERED").await;
    app.finish().await;
    assert_eq!(service.count(), 2);
}

async fn a_complete_head_is_enough(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    // The head promises more than ever comes.
    let truncated = RawAnswer::BytesThenClose("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort".into());
    let service = RawReceiver::start(vec![truncated]).await.expect("a free port");
    let crm = workspace
        .install_at("crm", service.url())
        .subscribed_to(&["crm.**"])
        .await;
    let event = workspace.publish("crm.deal.closed", json!({})).await;
    workspace.becomes(&event, &crm, "DELIVERED").await;
    app.finish().await;
    assert_eq!(service.requests(), 1);
}

async fn a_changed_address_holds_from_the_next_attempt(engine: Engine) {
    let app = TestApp::with(engine, |settings| settings.retrying_after(&["50ms"; 40])).await;
    let workspace = app.workspace("acme").await;
    let (wrong, right) = (
        Service::behaving(Behavior::status(500)).await,
        Service::start().await,
    );
    let crm = workspace
        .install_external("crm", &wrong)
        .subscribed_to(&["crm.**"])
        .await;
    let event = workspace.publish("crm.deal.closed", json!({})).await;
    wrong.received(1).await;
    crm.update(json!({"serviceBaseUrl": format!("{}/", right.url()), "headers": {"X-Key": "k-1"}}))
        .await;

    let received = right.received(1).await.remove(0);
    assert_eq!(received.event_id(), Some(event.as_str()));
    assert_eq!(received.header("x-key"), Some("k-1"));
    app.finish().await;
    assert_eq!(right.count(), 1);
}

async fn an_address_that_is_not_allowed_is_never_called(engine: Engine) {
    let app = TestApp::with(engine, |settings| {
        settings.retrying_after(&[]).set("delivery.allow_networks", "[]")
    })
    .await;
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    let port = service.address().port();
    for (number, host) in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"]
        .into_iter()
        .enumerate()
    {
        let url = format!("http://{host}:{port}");
        let extension = workspace
            .install_at(&format!("ext-{number}"), url)
            .subscribed_to(&["crm.**"])
            .await;
        let attempt = app
            .api("POST", &extension.path("/test"), None)
            .await
            .expect(200)
            .data();
        assert_eq!(attempt["outcome"], "ADDRESS_REFUSED", "{host}");
    }
    workspace.publish("crm.deal.closed", json!({})).await;
    workspace.dead_letters_become(3, "reason=RETRIES_EXHAUSTED").await;
    app.finish().await;
    assert_eq!(service.count(), 0);
}
