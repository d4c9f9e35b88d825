//! The examples do what the README says.

use std::process::Command;

use pointsman_clock::Clock;
use serde_json::json;

use pointsman_test_kit::{Engine, ExampleService, TestApp, Workspace, eventually, example, on_both_engines};

on_both_engines! {
    a_closed_deal_is_told_in_the_channel_of_deals,
    the_external_services_verify_signatures_and_take_each_event_once,
}

/// The payload that the README's first publish has, which it says to publish again for the example.
fn deal_of_the_readme() -> serde_json::Value {
    let readme = include_str!("../../../README.md");
    let body = readme.lines().find_map(|line| {
        let body = line.trim().strip_prefix("-d '")?.strip_suffix('\'')?;
        body.starts_with("{\"eventKey\"").then_some(body)
    });
    let body: serde_json::Value =
        serde_json::from_str(body.expect("the README publishes")).expect("it is JSON");
    assert_eq!(body["eventKey"], "crm.deal.closed");
    body["payload"].clone()
}

async fn a_closed_deal_is_told_in_the_channel_of_deals(engine: Engine) {
    let app = TestApp::with(engine, |settings| settings.example("crm_platform")).await;
    let demo = Workspace::demo(&app.admin).await;
    let closed = demo.publish("crm.deal.closed", deal_of_the_readme()).await;
    let message = eventually("the message is there", async || {
        let messages = demo.get("/channels/deals/messages").await.expect(200).rows();
        messages.into_iter().next().ok_or("none")
    })
    .await;
    assert_eq!(message["message"], "Deal deal-123 closed for 5000.00 USD!");
    let announced = demo.events().await.remove(0);
    assert_eq!(announced["eventKey"], "chat.message.received");
    let announced = demo.event(announced["id"].as_str().unwrap_or_default()).await;
    let chain = json!([
        {"id": message["eventId"], "eventKey": "platform.notification"},
        {"id": closed, "eventKey": "crm.deal.closed"},
    ]);
    assert_eq!(announced["causes"], chain);
    assert_eq!(announced["correlationId"], closed);
    app.finish().await;
}

async fn the_external_services_verify_signatures_and_take_each_event_once(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/external_service.py");
    for (key, mut command) in [
        ("rust", Command::new(example("external_service"))),
        ("python", Command::new("python3")),
    ] {
        // The secret is known once it is installed, and the address once it runs.
        let extension = workspace
            .install_at(key, "http://127.0.0.1:1")
            .subscribed_to(&[&format!("{key}.**")])
            .await;
        if key == "python" {
            command.arg(python);
        }
        let mut service = ExampleService::start(command.args([&extension.secret, "0"])).await;
        extension.update(json!({"serviceBaseUrl": service.url()})).await;
        let event = workspace
            .publish(&format!("{key}.deal.closed"), json!({"amount": "5000.00"}))
            .await;
        workspace.becomes(&event, &extension, "DELIVERED").await;
        let printed = service.printed().await;
        let expected = format!("{event} {key}.deal.closed {{\"amount\":\"5000.00\"}}");
        assert_eq!(printed.replace("\": ", "\":"), expected);
        let now = (Clock.wall().millis() / 1000).to_string();
        let forged = [
            ("content-type", "application/json"),
            ("webhook-id", event.as_str()),
            ("webhook-timestamp", now.as_str()),
            (
                "webhook-signature",
                "v1,c2lnbmVkIGJ5IG5vYm9keSB0aGF0IGlzIGtub3duIQ==",
            ),
        ];
        let answer = service.caller().send("POST", "/events", &forged, "{}").await;
        assert_eq!(answer.status, 401);
    }
    app.finish().await;
}
