//! `ordered`, `rateLimit` and `concurrency` of an extension, its breaker and its reset, as the API has them.

use serde_json::{Value, json};

use pointsman_test_kit::{Engine, TestApp, on_both_engines};

on_both_engines! {
    limits_are_set_shown_and_taken_away,
    limits_that_are_none_are_named,
    health_shows_a_closed_breaker_and_a_reset_changes_nothing,
}

async fn limits_are_set_shown_and_taken_away(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let crm = workspace
        .install_at("crm", "http://127.0.0.1:1")
        .subscribed_to(&[])
        .await;
    let limits = |shown: &Value| {
        json!([
            shown["concurrency"].clone(),
            shown["ordered"].clone(),
            shown["rateLimit"].clone()
        ])
    };
    assert_eq!(limits(&crm.shown().await), json!([null, false, null]));
    for (change, expected) in [
        (json!({"concurrency": 8, "rateLimit": 50}), json!([8, false, 50])),
        // One at a time; what was set waits until it is no longer ordered.
        (json!({"ordered": true}), json!([1, true, 50])),
        (json!({"name": "CRM"}), json!([1, true, 50])),
        (json!({"rateLimit": null}), json!([1, true, null])),
        (
            json!({"ordered": null, "rateLimit": 100_000}),
            json!([1, true, 100_000]),
        ),
    ] {
        crm.update(change.clone()).await;
        assert_eq!(limits(&crm.shown().await), expected, "{change}");
    }
    app.restart().await;
    assert_eq!(limits(&crm.shown().await), json!([1, true, 100_000]));
    crm.update(json!({"ordered": false})).await;
    assert_eq!(limits(&crm.shown().await), json!([8, false, 100_000]));
    app.finish().await;
}

async fn limits_that_are_none_are_named(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let crm = workspace
        .install_at("crm", "http://127.0.0.1:1")
        .subscribed_to(&[])
        .await;
    let refuse = async |change: Value, field: &str| {
        let answer = app.api("PATCH", &crm.path(""), Some(&change)).await;
        let answer = answer.expect_problem(400, "VALIDATION_FAILED");
        assert_eq!(answer.wrong_fields(), [field], "{change}");
    };
    for (change, field) in [
        (json!({"rateLimit": 0}), "rateLimit"),
        (json!({"rateLimit": 100_001}), "rateLimit"),
        (json!({"rateLimit": 1.5}), "rateLimit"),
        (json!({"rateLimit": "10"}), "rateLimit"),
        (json!({"ordered": "yes"}), "ordered"),
        (json!({"ordered": true, "concurrency": 2}), "concurrency"),
    ] {
        refuse(change, field).await;
    }
    crm.update(json!({"ordered": true, "concurrency": 1})).await;
    refuse(json!({"concurrency": 2}), "concurrency").await;
    crm.update(json!({"ordered": false, "concurrency": 2})).await;
    app.finish().await;
}

async fn health_shows_a_closed_breaker_and_a_reset_changes_nothing(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let crm = workspace
        .install_at("crm", "http://127.0.0.1:1")
        .subscribed_to(&["**"])
        .await;
    for _ in 0..2 {
        let health = crm.shown().await["health"].take();
        assert_eq!(
            health["breaker"],
            json!({
                "state": "CLOSED", "since": null, "nextProbeAt": null, "lastError": null, "lastStatus": null
            })
        );
        assert_eq!(health["failed"], json!(false));
        let reset = app.api("POST", &crm.path("/reset"), None).await.expect(200);
        assert_eq!(reset.shown(), r#"{"code":"SUCCESS"}"#);
    }
    app.finish().await;
}
