//! Notifications to chat channels: the other half of the first description of the events API.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use pointsman_test_kit::{Engine, TestApp, Workspace, eventually, on_both_engines};

on_both_engines! {
    the_cross_extension_notification_is_in_its_channel,
    a_payload_that_lacks_a_field_is_a_dead_letter_and_its_publisher_is_not_failed,
    a_member_posts_a_message_that_is_announced,
    channels_and_messages_are_paged_within_their_workspace,
    what_is_of_this_process_can_be_installed,
    notifications_are_messages_once_whenever_the_server_is_killed,
}

const NOTIFICATION: &str = r#"{
"eventKey": "platform.notification",
"payload": {
"channel": "deals",
"message": "Deal #123 closed for $5,000!",
"sender": "crm-bot"
}
}"#;

/// Newest first.
async fn messages(workspace: &Workspace, channel: &str) -> Vec<Value> {
    let path = format!("/channels/{channel}/messages?limit=200");
    workspace.get(&path).await.expect(200).rows()
}

async fn install_chat(workspace: &Workspace) -> Value {
    let chat = json!({"key": "chat", "deliveryType": "IN_PROCESS"});
    workspace.post("/extensions", &chat).await.expect(201).data()
}

async fn the_cross_extension_notification_is_in_its_channel(engine: Engine) {
    let app = TestApp::start(engine).await;
    let demo = Workspace::demo(&app.admin).await;
    let published = demo.publish_raw(NOTIFICATION).await.expect(200);
    assert_eq!(published.shown(), r#"{"code":"SUCCESS"}"#);
    let event = published.header("x-event-id").unwrap_or_default().to_owned();
    // The handler is synchronous: the message is there as soon as the publisher has the answer.
    let messages = messages(&demo, "deals").await;
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0]["message"], "Deal #123 closed for $5,000!");
    assert_eq!(messages[0]["sender"], "crm-bot");
    assert_eq!(messages[0]["eventId"], event);
    let events = demo.events().await;
    assert_eq!(events[0]["eventKey"], "chat.message.received");
    assert_eq!(events[0]["causationId"], event);
    assert_eq!(events[0]["correlationId"], event);
    let announced = demo.event(events[0]["id"].as_str().unwrap_or_default()).await;
    let chain = json!([{"id": event, "eventKey": "platform.notification"}]);
    assert_eq!(announced["causes"], chain);
    let channels = demo.get("/channels").await.expect(200).rows();
    let shown: Vec<_> = channels
        .iter()
        .map(|one| (&one["channel"], &one["messages"]))
        .collect();
    assert_eq!(
        shown,
        [(&json!("deals"), &json!(1)), (&json!("general"), &json!(0))]
    );
    app.finish().await;
}

async fn a_payload_that_lacks_a_field_is_a_dead_letter_and_its_publisher_is_not_failed(engine: Engine) {
    let app = TestApp::start(engine).await;
    let demo = Workspace::demo(&app.admin).await;
    let event = demo
        .publish(
            "platform.notification",
            json!({"channel": "deals", "sender": "crm-bot"}),
        )
        .await;
    let letter = eventually("there is a letter", async || {
        let letters = demo.dead_letters("").await;
        letters.into_iter().next().ok_or("none")
    })
    .await;
    assert_eq!(letter["eventId"], event);
    assert_eq!(letter["reason"], "INVALID_PAYLOAD");
    assert_eq!(letter["handler"], "notification");
    assert_eq!(letter["lastError"], "payload: missing field `message`");
    let shown = demo.event(&event).await;
    assert_eq!(shown["deliveries"][0]["status"], "DEAD");
    assert_eq!(shown["deliveries"][0]["handlers"][0]["handler"], "notification");
    assert!(messages(&demo, "deals").await.is_empty());
    app.finish().await;
}

async fn a_member_posts_a_message_that_is_announced(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let member = app.member(&workspace, "ann", "MEMBER").await;
    let posting = workspace.seen_by(&member.caller);
    let body = json!({"message": "Well done!\nAll of you."});
    let early = posting.post("/channels/deals/messages", &body).await;
    early.expect_problem(409, "CONFLICT");
    install_chat(&workspace).await;
    let posted = posting.post("/channels/deals/messages", &body).await.expect(201);
    let message = posted.data();
    assert_eq!(posted.header("x-event-id"), message["eventId"].as_str());
    assert!(
        message["sender"].as_str().unwrap_or_default().starts_with("ann"),
        "{message}"
    );
    let found = messages(&posting, "deals").await;
    assert_eq!(found, std::slice::from_ref(&message));
    let event = posting
        .event(message["eventId"].as_str().unwrap_or_default())
        .await;
    assert_eq!(event["eventKey"], "chat.message.received");
    assert_eq!(event["payload"]["messageId"], message["id"]);
    assert_eq!(event["payload"]["message"], "Well done!\nAll of you.");
    for (channel, body, field) in [
        ("deals", json!({"message": " "}), "message"),
        ("deals", json!({"message": 7}), "message"),
        ("deals", json!({}), "message"),
        ("a%0Ab", json!({"message": "m"}), "channel"),
    ] {
        let path = format!("/channels/{channel}/messages");
        let refused = posting
            .post(&path, &body)
            .await
            .expect_problem(400, "VALIDATION_FAILED");
        assert_eq!(refused.wrong_fields(), [field], "{body}");
    }
    app.finish().await;
}

async fn channels_and_messages_are_paged_within_their_workspace(engine: Engine) {
    let app = TestApp::start(engine).await;
    let (acme, globex) = (app.workspace("acme").await, app.workspace("globex").await);
    install_chat(&acme).await;
    for number in 0..5 {
        for channel in ["deals", "Ärger & Lob", "42"] {
            let payload = json!({"channel": channel, "message": format!("m{number}"), "sender": "s"});
            acme.publish("platform.notification", payload).await;
        }
    }
    let (mut channels, mut path) = (Vec::new(), "/channels?limit=1".to_owned());
    loop {
        let page = acme.get(&path).await.expect(200).json();
        channels.extend(page["data"].as_array().cloned().unwrap_or_default());
        let Some(next) = page["nextCursor"].as_str() else {
            break;
        };
        path = format!("/channels?limit=1&cursor={next}");
    }
    let names: Vec<_> = channels
        .iter()
        .map(|one| one["channel"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(names, ["42", "deals", "general", "Ärger & Lob"]);
    let (mut texts, mut path) = (
        Vec::new(),
        "/channels/%C3%84rger%20%26%20Lob/messages?limit=2".to_owned(),
    );
    loop {
        let page = acme.get(&path).await.expect(200).json();
        let rows = page["data"].as_array().cloned().unwrap_or_default();
        texts.extend(
            rows.iter()
                .map(|row| row["message"].as_str().unwrap_or_default().to_owned()),
        );
        let Some(next) = page["nextCursor"].as_str() else {
            break;
        };
        path = format!("/channels/%C3%84rger%20%26%20Lob/messages?limit=2&cursor={next}");
    }
    assert_eq!(texts, ["m4", "m3", "m2", "m1", "m0"]);
    assert!(messages(&globex, "deals").await.is_empty());
    app.finish().await;
}

async fn what_is_of_this_process_can_be_installed(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let available = app
        .admin
        .get("/api/extensions/available")
        .await
        .expect(200)
        .data();
    assert_eq!(available[0]["key"], "chat");
    let handler = &available[0]["handlers"][0];
    assert_eq!(handler["eventKey"], "platform.notification");
    assert_eq!(handler["async"], false);
    assert_eq!(
        handler["payloadSchema"]["required"],
        json!(["channel", "message", "sender"])
    );

    let unknown = json!({"key": "crm", "deliveryType": "IN_PROCESS"});
    let refused = workspace.post("/extensions", &unknown).await;
    let refused = refused.expect_problem(400, "VALIDATION_FAILED");
    assert_eq!(refused.wrong_fields(), ["key"]);
    assert!(refused.shown().contains("it has chat"), "{}", refused.shown());

    let chat = install_chat(&workspace).await;
    assert_eq!(
        (&chat["name"], &chat["available"]),
        (&json!("Chat"), &json!(true))
    );
    assert!(chat.get("signingSecret").is_none());
    let id = chat["id"].as_str().unwrap_or_default();
    let subscriptions = workspace
        .get(&format!("/extensions/{id}/subscriptions"))
        .await
        .expect(200)
        .rows();
    assert_eq!(subscriptions.len(), 1);
    assert_eq!(subscriptions[0]["eventKey"], "platform.notification");
    for action in ["rotate-secret", "test"] {
        let path = format!("/extensions/{id}/{action}");
        workspace
            .post(&path, &json!({}))
            .await
            .expect_problem(409, "CONFLICT");
    }
    let url = json!({"serviceBaseUrl": "http://127.0.0.1:1"});
    let path = workspace.path(&format!("/extensions/{id}"));
    let refused = workspace.caller.api("PATCH", &path, Some(&url)).await;
    assert_eq!(
        refused.expect_problem(400, "VALIDATION_FAILED").wrong_fields(),
        ["serviceBaseUrl"]
    );
    app.finish().await;
}

/// The message, its announcement and the end of the delivery are one: each acknowledged notification is one message
/// and is announced once, whatever the kill interrupted.
async fn notifications_are_messages_once_whenever_the_server_is_killed(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let demo = Workspace::demo(&app.admin).await;
    let mut acknowledged = Vec::new();
    for round in 0..4 {
        let publishing = actix_web::rt::spawn(notify(demo.clone(), round));
        let before = acknowledged.len();
        eventually("some of the round have arrived", async || {
            let found = count_of_messages(&demo).await;
            if found > before { Ok(()) } else { Err(found) }
        })
        .await;
        app.kill();
        let sent = publishing.await.expect("publishers do not panic");
        acknowledged.extend(sent.into_iter().flatten());
        app.start_again().await;
    }
    assert!(!acknowledged.is_empty());
    // What was recorded without an answer is handled as well.
    app.settled().await;
    let there = texts(&demo).await;
    let missing: Vec<_> = acknowledged.iter().filter(|text| !there.contains(text)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let different: BTreeSet<&String> = there.iter().collect();
    assert_eq!(different.len(), there.len(), "a message is there twice");
    let announced: Vec<Value> = demo
        .events()
        .await
        .into_iter()
        .filter(|event| event["eventKey"] == "chat.message.received")
        .map(|event| event["causationId"].clone())
        .collect();
    let causes: BTreeSet<String> = announced.iter().map(Value::to_string).collect();
    assert_eq!(causes.len(), announced.len(), "a message is announced twice");
    assert_eq!(announced.len(), there.len(), "each is announced");
    app.finish().await;
}

/// Publishes at once; the text of each notification that is acknowledged.
async fn notify(demo: Workspace, round: usize) -> Vec<Option<String>> {
    let publishing = (0..20).map(|number| {
        let text = format!("{round}-{number}");
        let payload = json!({"channel": "deals", "message": text, "sender": "s"});
        let body = json!({"eventKey": "platform.notification", "payload": payload}).to_string();
        let (caller, path) = (demo.caller.clone(), demo.path("/events/publish"));
        async move {
            let json = [("content-type", "application/json")];
            let answer = caller.try_send("POST", &path, &json, body.into()).await.ok()?;
            (answer.status == 200).then_some(text)
        }
    });
    futures_util::future::join_all(publishing).await
}

async fn count_of_messages(demo: &Workspace) -> usize {
    texts(demo).await.len()
}

async fn texts(demo: &Workspace) -> Vec<String> {
    let messages = messages(demo, "deals").await;
    messages
        .iter()
        .filter_map(|one| one["message"].as_str().map(str::to_owned))
        .collect()
}
