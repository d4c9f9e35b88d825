//! What the first description of the events API promises, word for word.

use pointsman_receive::SignatureCheck;
use serde_json::json;

use pointsman_test_kit::{ADMIN_EMAIL, ADMIN_PASSWORD, Engine, Service, TestApp, on_both_engines};

on_both_engines! {
    the_example_is_accepted_with_exactly_success,
    an_event_arrives_byte_for_byte_and_signed,
    members_without_a_value_are_left_out,
    the_signature_is_that_of_the_reference_implementation,
    a_rotated_secret_signs_beside_the_former,
    a_test_event_goes_to_one_extension_alone,
}

const EXAMPLE: &str = r#"{
"eventKey": "crm.deal.closed",
"schemaVersion": "1.0",
"actor": "user-uuid",
"payload": {
"dealId": "deal-123",
"amount": "5000.00",
"currency": "USD"
}
}"#;

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async fn the_example_is_accepted_with_exactly_success(engine: Engine) {
    let app = TestApp::start(engine).await;
    let login = json!({"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD});
    let signed_in = app.anonymous().post("/api/auth/login", &login).await.expect(200);
    assert_eq!(signed_in.data()["email"], ADMIN_EMAIL);
    assert_eq!(signed_in.data()["role"], "ADMIN");
    let cookie = signed_in
        .header("set-cookie")
        .expect("a login sets a cookie")
        .to_owned();
    assert!(cookie.starts_with("pointsman_session="), "{cookie}");
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
        "{cookie}"
    );

    let workspaces = app.admin.get("/api/workspaces").await.expect(200).rows();
    assert_eq!(workspaces[0]["name"], "demo");
    let path = format!(
        "/api/workspaces/{}/events",
        workspaces[0]["id"].as_str().unwrap_or_default()
    );
    let caller = app
        .anonymous()
        .with_cookie(cookie.split(';').next().unwrap_or_default());
    let json = [("Content-Type", "application/json")];
    let published = caller
        .send("POST", &format!("{path}/publish"), &json, EXAMPLE)
        .await
        .expect(200);

    assert_eq!(published.body, r#"{"code":"SUCCESS"}"#);
    let id = published.header("x-event-id").expect("the event's id").to_owned();
    assert_eq!(
        published.header("location"),
        Some(format!("{path}/{id}").as_str())
    );
    let event = caller.get(&format!("{path}/{id}")).await.expect(200).data();
    assert_eq!(event["eventKey"], "crm.deal.closed");
    assert_eq!(event["payload"]["amount"], "5000.00");
    app.finish().await;
}

async fn an_event_arrives_byte_for_byte_and_signed(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.deal.closed"])
        .await;
    service.knows_secret(&crm.secret);
    let payload = "{ \"z\" : 1 ,\n\t\"amount\":\"5000.00\", \"raw\":5000.00,\"big\":123456789012345678901234567890, \
                   \"e\":1E+2,\"a\":[ ],\"twice\":1,\"twice\":2,\"text\":\"\\u00e9é\\/\\ud83d\\ude80\" }";
    let body = format!(
        "{{\"payload\": {payload} , \"eventKey\":\"crm.deal.closed\",\"actor\":\"Ann \\\"A\\\" é\",\
         \"schemaVersion\":\"1.0\"}}"
    );
    let headers = [("content-type", "application/json"), ("traceparent", TRACEPARENT)];
    let path = workspace.path("/events/publish");
    let published = workspace
        .caller
        .send("POST", &path, &headers, body)
        .await
        .expect(200);
    let id = published.header("x-event-id").expect("the event's id");

    let received = service.received(1).await.remove(0);
    let occurred_at = workspace.event(id).await["occurredAt"].clone();
    let expected = format!(
        "{{\"id\":\"{id}\",\"eventKey\":\"crm.deal.closed\",\"schemaVersion\":\"1.0\",\"tenantId\":\"{}\",\
         \"actor\":\"Ann \\\"A\\\" é\",\"payload\":{payload},\"occurredAt\":{occurred_at}}}",
        workspace.id
    );
    assert_eq!(String::from_utf8_lossy(&received.body), expected);
    assert_eq!(received.signature, SignatureCheck::Valid);
    assert_eq!(received.event_id(), Some(id));
    assert_eq!(received.header("content-type"), Some("application/json"));
    let agent = concat!("Pointsman/", env!("CARGO_PKG_VERSION"));
    assert_eq!(received.header("user-agent"), Some(agent));
    assert_eq!(received.header("traceparent"), Some(TRACEPARENT));
    app.finish().await;
    assert_eq!(service.count(), 1);
}

async fn members_without_a_value_are_left_out(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.deal.closed"])
        .await;
    for body in [
        r#"{"eventKey":"crm.deal.closed"}"#,
        r#"{"eventKey":"crm.deal.closed","schemaVersion":null,"actor":null}"#,
    ] {
        workspace.publish_raw(body).await.expect(200);
    }

    for received in service.received(2).await {
        let body = received.json().expect("the body is JSON");
        let mut members: Vec<_> = body
            .as_object()
            .into_iter()
            .flat_map(|object| object.keys())
            .collect();
        members.sort();
        assert_eq!(members, ["eventKey", "id", "occurredAt", "payload", "tenantId"]);
        assert_eq!(body["payload"], json!({}));
        assert_eq!(received.header("traceparent"), None);
    }
    app.finish().await;
}

async fn the_signature_is_that_of_the_reference_implementation(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&["**"])
        .await;
    workspace.publish("crm.deal.closed", json!({"é": 1})).await;

    let received = service.received(1).await.remove(0);
    let header = |name| received.header(name).expect("every delivery is signed");
    let timestamp = header("webhook-timestamp")
        .parse()
        .expect("the timestamp is in seconds");
    let webhook = standardwebhooks::Webhook::new(&crm.secret).expect("the secret is one of the standard");
    let signature = webhook.sign(header("webhook-id"), timestamp, &received.body);
    assert_eq!(
        header("webhook-signature"),
        signature.expect("the reference signs")
    );
    app.finish().await;
}

async fn a_rotated_secret_signs_beside_the_former(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&["**"])
        .await;
    let rotated = app
        .api("POST", &crm.path("/rotate-secret"), None)
        .await
        .expect(200)
        .data();
    let new = rotated["signingSecret"]
        .as_str()
        .expect("the new secret is shown");
    assert_ne!(new, crm.secret);

    for (count, secret) in [(1, new), (2, crm.secret.as_str())] {
        service.knows_secret(secret);
        workspace.publish("crm.deal.closed", json!({})).await;
        let received = service.received(count).await.pop().expect("a delivery");
        assert_eq!(received.signature, SignatureCheck::Valid);
    }
    app.finish().await;
}

async fn a_test_event_goes_to_one_extension_alone(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let (service, other) = (Service::start().await, Service::start().await);
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&[])
        .await;
    workspace
        .install_external("other", &other)
        .subscribed_to(&["**"])
        .await;
    service.knows_secret(&crm.secret);

    let attempt = app.api("POST", &crm.path("/test"), None).await.expect(200).data();
    assert_eq!(
        (&attempt["outcome"], &attempt["httpStatus"]),
        (&json!("DELIVERED"), &json!(200))
    );
    assert_eq!(service.received(1).await[0].signature, SignatureCheck::Valid);
    assert!(
        workspace.events().await.is_empty(),
        "a test event is not recorded"
    );
    app.finish().await;
    assert_eq!((service.count(), other.count()), (1, 0));
}
