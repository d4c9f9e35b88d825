use super::*;
use crate::SignatureCheck;

async fn post(receiver: &Receiver, body: &'static str) -> awc::ClientResponse {
    awc::Client::default()
        .post(format!("{}/events", receiver.url()))
        .send_body(body)
        .await
        .unwrap()
}

#[actix_web::test]
async fn it_keeps_what_it_got_in_the_order_of_arrival() {
    let receiver = Receiver::start().await.unwrap();
    post(&receiver, r#"{"a":  1.00}"#).await;
    post(&receiver, r#"{"b":2}"#).await;
    let received = receiver.received(2).await;
    assert_eq!(received[0].body, r#"{"a":  1.00}"#);
    assert_eq!(received[1].json().unwrap()["b"], 2);
    assert_eq!((received[0].number, received[1].number), (1, 2));
    assert_eq!(received[0].signature, SignatureCheck::NotChecked);
}

#[actix_web::test]
async fn waiting_ends_when_the_delivery_arrives() {
    let receiver = Receiver::start().await.unwrap();
    let (received, _) = tokio::join!(receiver.received_one(), post(&receiver, "{}"));
    assert_eq!(received.unwrap().body, "{}");
}

#[actix_web::test]
async fn it_answers_as_told() {
    let receiver = Receiver::start().await.unwrap();
    receiver.behave(
        Behavior::status(429)
            .with_header("Retry-After", "7")
            .with_body("later"),
    );
    let mut answer = post(&receiver, "{}").await;
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers().get("retry-after").unwrap(), "7");
    assert_eq!(answer.body().await.unwrap(), "later");
}

#[actix_web::test]
async fn it_fails_the_first_deliveries_and_takes_those_after_them() {
    let receiver = Receiver::start().await.unwrap();
    receiver.behave(Behavior::fail_first(2));
    for status in [500, 500, 200, 200] {
        assert_eq!(post(&receiver, "{}").await.status(), status);
    }
    receiver.behave(Behavior::fail_first(1));
    assert_eq!(post(&receiver, "{}").await.status(), 500);
}

#[actix_web::test]
async fn it_refuses_the_deliveries_that_contain_a_text() {
    let receiver = Receiver::start().await.unwrap();
    receiver.behave(Behavior::fail_where("bad", 422));
    for (body, status) in [("{}", 200), (r#"{"bad":1}"#, 422), (r#"{"good":1}"#, 200)] {
        assert_eq!(post(&receiver, body).await.status(), status, "{body}");
    }
}

#[actix_web::test]
async fn without_recording_it_only_counts() {
    let options = ReceiverOptions {
        recording: false,
        ..ReceiverOptions::default()
    };
    let receiver = Receiver::start_with(options).await.unwrap();
    post(&receiver, "{}").await;
    assert!(receiver.received(1).await.is_empty());
    assert_eq!(receiver.count(), 1);
}

#[actix_web::test]
async fn an_unsigned_delivery_is_noticed() {
    let receiver = Receiver::start().await.unwrap();
    receiver.expect_signed_with(&SigningSecret::from_random([1; 32]));
    post(&receiver, "{}").await;
    assert_eq!(
        receiver.received_one().await.unwrap().signature,
        SignatureCheck::Missing
    );
}

#[actix_web::test]
async fn a_header_of_the_signature_that_comes_twice_counts_as_missing() {
    let receiver = Receiver::start().await.unwrap();
    receiver.expect_signed_with(&SigningSecret::from_random([1; 32]));
    let deliver = awc::Client::default()
        .post(format!("http://{}/events", receiver.address()))
        .append_header(("webhook-id", "a"))
        .append_header(("webhook-timestamp", "1"))
        .append_header(("webhook-signature", "v1,AAAA"))
        .append_header(("webhook-signature", "v1,BBBB"));
    deliver.send_body("{}").await.unwrap();
    assert_eq!(
        receiver.received_one().await.unwrap().signature,
        SignatureCheck::Missing
    );
}

#[actix_web::test]
async fn a_stopped_receiver_frees_its_port_for_the_next() {
    let receiver = Receiver::start().await.unwrap();
    receiver.behave(Behavior::hang());
    let address = receiver.address();
    let hanging = actix_web::rt::spawn(
        awc::Client::default()
            .post(format!("http://{address}/events"))
            .send(),
    );
    receiver.arrived(1).await;
    receiver.stop().await;
    assert!(hanging.await.unwrap().is_err());
    let options = ReceiverOptions {
        address,
        ..ReceiverOptions::default()
    };
    let successor = Receiver::start_with(options).await.unwrap();
    assert_eq!(post(&successor, "{}").await.status(), 200);
}
