//! What is sent.

use super::kit::*;

#[actix_web::test]
async fn the_payload_arrives_byte_for_byte() {
    let receiver = Receiver::start().await.unwrap();
    let event = event();
    let result = Delivery::to_loopback()
        .client
        .attempt(&target(&receiver.url()), &event, Clock)
        .await;
    assert_delivered(&result);
    assert_eq!(result.http_status, Some(200));
    let body = receiver.received_one().await.unwrap().body;
    assert_eq!(body, event.delivery_body());
    let text = std::str::from_utf8(&body).unwrap();
    assert!(
        text.contains(&format!(r#","payload":{PAYLOAD},"occurredAt":"#)),
        "{text}"
    );
    assert!(!text.contains("actor"), "{text}");
}

#[actix_web::test]
async fn the_headers_are_those_of_the_contract() {
    let receiver = Receiver::start().await.unwrap();
    let event = event();
    Delivery::to_loopback()
        .client
        .attempt(&target(&receiver.url()), &event, Clock)
        .await;
    let received = receiver.received_one().await.unwrap();
    for (name, value) in [
        ("content-type", "application/json"),
        ("user-agent", concat!("Pointsman/", env!("CARGO_PKG_VERSION"))),
        ("webhook-id", &event.id.to_string()),
        ("traceparent", TRACEPARENT),
        ("pointsman-correlation-id", &event.id.to_string()),
        ("authorization", "Bearer token"),
        ("x-tenant", "blue"),
        ("host", &receiver.address().to_string()),
        ("content-length", &event.delivery_body().len().to_string()),
    ] {
        assert_eq!(received.header(name), Some(value), "{name}");
    }
    assert_eq!(received.header("pointsman-causation-id"), None);
    // The excerpt of an answer is kept as it came, so nothing compressed is asked for.
    assert_eq!(received.header("accept-encoding"), Some("identity"));
}

#[actix_web::test]
async fn the_causes_of_an_event_are_sent_with_it() {
    let receiver = Receiver::start().await.unwrap();
    let mut event = event();
    let [source, first] = [1, 2].map(|n| EventId::new(uuid::Uuid::from_u128(n)));
    event.cause = Some(Cause {
        causation_id: source,
        correlation_id: first,
        depth: 2,
    });
    Delivery::to_loopback()
        .client
        .attempt(&target(&receiver.url()), &event, Clock)
        .await;
    let received = receiver.received_one().await.unwrap();
    for (name, id) in [
        ("pointsman-causation-id", source),
        ("pointsman-correlation-id", first),
    ] {
        assert_eq!(received.header(name), Some(id.to_string().as_str()), "{name}");
    }
}

#[actix_web::test]
async fn the_signature_is_that_of_standard_webhooks() {
    let receiver = Receiver::start().await.unwrap();
    receiver.expect_signed_with(&secret());
    Delivery::to_loopback().attempt(&receiver.url()).await;
    let received = receiver.received_one().await.unwrap();
    assert_eq!(received.signature, SignatureCheck::Valid);
    let timestamp = received.header("webhook-timestamp").unwrap().parse().unwrap();
    let reference = Webhook::new(&secret().reveal()).unwrap();
    let expected = reference
        .sign(received.event_id().unwrap(), timestamp, &received.body)
        .unwrap();
    assert_eq!(received.header("webhook-signature"), Some(expected.as_str()));
}

#[actix_web::test]
async fn a_trace_context_that_is_no_header_value_is_left_out() {
    let receiver = Receiver::start().await.unwrap();
    let mut event = event();
    event.traceparent = Some("a\nb".to_owned());
    let result = Delivery::to_loopback()
        .client
        .attempt(&target(&receiver.url()), &event, Clock)
        .await;
    assert_delivered(&result);
    assert_eq!(receiver.received_one().await.unwrap().header("traceparent"), None);
}

#[test]
fn an_unusable_configuration_is_a_failed_attempt() {
    let keys = SigningKeys::new(&secret(), None);
    let error = DeliveryTarget::new("http://user:pw@crm.example", keys, []).unwrap_err();
    assert_retried(&error.attempt_result(), AttemptOutcome::Misconfigured);
}
