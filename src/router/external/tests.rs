//! Attempts over real sockets.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use bytes::Bytes;
use standardwebhooks::Webhook;

use super::*;
use crate::{
    clock::Clock,
    domain::{
        attempt::{AttemptOutcome, AttemptResult, DeadLetterReason, Verdict},
        event::{NewEvent, PlatformEvent},
        event_key::EventKey,
        id::{EventId, WorkspaceId},
        seq::Seq,
        signing::{SigningKeys, SigningSecret},
    },
    receive::{Behavior, RawAnswer, RawReceiver, Receiver, SignatureCheck},
};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const PAYLOAD: &str = r#"{ "dealId":"deal-123",  "amount": 5000.00, "note":"Grüße \u00e4" , "amount": 1e2 }"#;
const RETRY: Verdict = Verdict::Retry { retry_after: None };

/// An installation and the client that delivers to it.
struct Delivery {
    config: ExternalClientConfig,
    client: ExternalClient,
}

impl Delivery {
    fn allowing(networks: &[&str]) -> Self {
        let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
        Self::with(ExternalClientConfig::new(
            Duration::from_secs(15),
            networks,
            Clock,
        ))
    }

    fn to_loopback() -> Self {
        Self::allowing(&["127.0.0.0/8"])
    }

    fn timing_out_after(timeout: Duration) -> Self {
        Self::with(ExternalClientConfig {
            timeout,
            ..Self::to_loopback().config
        })
    }

    fn resolving(lookup: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        let resolver = Arc::new(BoundedResolver::with_lookup(Clock, Arc::new(lookup)));
        Self::with(ExternalClientConfig {
            resolver,
            ..Self::to_loopback().config
        })
    }

    fn with(config: ExternalClientConfig) -> Self {
        Self {
            client: ExternalClient::new(&config),
            config,
        }
    }

    async fn attempt(&self, base: &str) -> AttemptResult {
        self.client.attempt(&target(base), &event(), Clock).await
    }
}

fn secret() -> SigningSecret {
    SigningSecret::from_random([9; 32])
}

fn target(base: &str) -> DeliveryTarget {
    let keys = SigningKeys::new(&secret(), None);
    DeliveryTarget::new(
        base,
        keys,
        [("authorization", "Bearer token"), ("x-tenant", "blue")],
    )
    .unwrap()
}

fn event() -> PlatformEvent {
    let new = NewEvent {
        id: EventId::new(Clock.new_uuid()),
        event_key: EventKey::parse("crm.deal.closed").unwrap(),
        schema_version: Some("1.0".to_owned()),
        actor: None,
        payload: PAYLOAD.into(),
        occurred_at: Clock.now(),
        traceparent: Some(TRACEPARENT.to_owned()),
    };
    PlatformEvent::record(WorkspaceId::new(Clock.new_uuid()), Seq::new(1), new)
}

fn bytes(text: &'static str) -> RawAnswer {
    RawAnswer::Bytes(Bytes::from_static(text.as_bytes()))
}

async fn answering(answers: impl Into<Vec<RawAnswer>>) -> RawReceiver {
    RawReceiver::start(answers.into()).await.unwrap()
}

#[track_caller]
fn assert_retried(result: &AttemptResult, outcome: AttemptOutcome) {
    assert_eq!((result.outcome, &result.verdict), (outcome, &RETRY), "{result:?}");
    assert!(result.error.is_some());
}

#[track_caller]
fn assert_delivered(result: &AttemptResult) {
    assert_eq!(
        (result.outcome, &result.verdict),
        (AttemptOutcome::Delivered, &Verdict::Delivered),
        "{result:?}"
    );
    assert_eq!(result.error, None);
}

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
        ("authorization", "Bearer token"),
        ("x-tenant", "blue"),
        ("host", &receiver.address().to_string()),
        ("content-length", &event.delivery_body().len().to_string()),
    ] {
        assert_eq!(received.header(name), Some(value), "{name}");
    }
    // The excerpt of an answer is kept as it came, so nothing compressed is asked for.
    assert_eq!(received.header("accept-encoding"), Some("identity"));
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

#[actix_web::test]
async fn every_status_that_is_not_2xx_is_retried() {
    let receiver = Receiver::start().await.unwrap();
    let delivery = Delivery::to_loopback();
    for (status, outcome) in [
        (304, AttemptOutcome::Http3xx),
        (400, AttemptOutcome::Http4xx),
        (404, AttemptOutcome::Http4xx),
        (500, AttemptOutcome::Http5xx),
        (599, AttemptOutcome::Http5xx),
    ] {
        receiver.behave(Behavior::status(status).with_body("no"));
        let result = delivery.attempt(&receiver.url()).await;
        assert_retried(&result, outcome);
        assert_eq!(result.http_status, Some(status));
    }
}

#[actix_web::test]
async fn what_a_service_says_about_itself_is_heard() {
    let receiver = Receiver::start().await.unwrap();
    let delivery = Delivery::to_loopback();
    receiver.behave(Behavior::status(410));
    assert_eq!(
        delivery.attempt(&receiver.url()).await.verdict,
        Verdict::GiveUp(DeadLetterReason::Gone)
    );
    receiver.behave(Behavior::status(503).with_header("retry-after", "90"));
    let later = Verdict::Retry {
        retry_after: Some(Duration::from_secs(90)),
    };
    assert_eq!(delivery.attempt(&receiver.url()).await.verdict, later);
    receiver.behave(Behavior::status(400).with_header("webhook-delivery", "disable"));
    let result = delivery.attempt(&receiver.url()).await;
    assert_eq!(
        (result.verdict, result.disable),
        (Verdict::GiveUp(DeadLetterReason::Aborted), true)
    );
}

#[actix_web::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::start().await.unwrap();
    let receiver = Receiver::start().await.unwrap();
    receiver.behave(Behavior::status(307).with_header("location", &format!("{}/events", elsewhere.url())));
    assert_retried(
        &Delivery::to_loopback().attempt(&receiver.url()).await,
        AttemptOutcome::Http3xx,
    );
    assert_eq!((receiver.count(), elsewhere.count()), (1, 0));
}

#[actix_web::test]
async fn the_first_kibibyte_of_the_answer_is_kept() {
    let receiver = Receiver::start().await.unwrap();
    receiver.behave(Behavior::status(500).with_body("a\0b".to_owned() + &"x".repeat(5000)));
    let kept = Delivery::to_loopback()
        .attempt(&receiver.url())
        .await
        .response
        .unwrap();
    assert_eq!(kept, "a\u{fffd}b".to_owned() + &"x".repeat(1021));
}

#[actix_web::test]
async fn a_connection_is_used_again_when_the_answer_was_read_whole() {
    let answer = bytes("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let receiver = answering([bytes("HTTP/1.1 204 No Content\r\n\r\n"), answer]).await;
    let delivery = Delivery::to_loopback();
    for _ in 0..3 {
        assert_delivered(&delivery.attempt(&receiver.url()).await);
    }
    assert_eq!((receiver.requests(), receiver.connections()), (3, 1));
}

#[actix_web::test]
async fn an_endless_answer_is_a_delivery_and_stays_bounded() {
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    ] {
        let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000)).into();
        let receiver = answering([RawAnswer::Endless {
            head: head.into(),
            chunk,
        }])
        .await;
        let result = Delivery::to_loopback().attempt(&receiver.url()).await;
        assert_delivered(&result);
        assert_eq!(result.response.unwrap().len(), 1024);
        // The rest was not read: the connection is closed, and only socket buffers took more.
        receiver.closed(1).await;
        assert!(receiver.written() < 32 << 20, "{} bytes", receiver.written());
    }
}

#[actix_web::test]
async fn an_answer_that_hangs_after_its_head_is_a_delivery() {
    let receiver = answering([bytes("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel")]).await;
    let result = Delivery::to_loopback().attempt(&receiver.url()).await;
    assert_delivered(&result);
    assert_eq!(result.response.as_deref(), Some("hel"));
    assert!(result.duration < Duration::from_secs(1));
    receiver.closed(1).await;
}

#[actix_web::test]
async fn a_truncated_body_is_a_delivery() {
    let text = "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nhello";
    let receiver = answering([RawAnswer::BytesThenClose(text.into())]).await;
    assert_delivered(&Delivery::to_loopback().attempt(&receiver.url()).await);
}

#[actix_web::test]
async fn without_a_complete_head_there_is_no_answer() {
    for answer in [
        RawAnswer::Close,
        RawAnswer::BytesThenClose("HTTP/1.1 200 OK\r\ncontent-le".into()),
        RawAnswer::BytesThenClose("SSH-2.0-OpenSSH_9.2\r\n".into()),
        RawAnswer::Bytes("HTTP/1.1 abc OK\r\n\r\n".into()),
        RawAnswer::Bytes("HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n".into()),
    ] {
        let receiver = answering([answer.clone()]).await;
        let result = Delivery::to_loopback().attempt(&receiver.url()).await;
        assert_retried(&result, AttemptOutcome::Protocol);
        assert_eq!(result.http_status, None, "{answer:?}");
    }
}

#[actix_web::test]
async fn a_head_without_end_is_no_answer() {
    let endless = RawAnswer::Endless {
        head: "HTTP/1.1 200 OK\r\n".into(),
        chunk: "x-filler: 1\r\n".into(),
    };
    let receiver = answering([endless]).await;
    assert_retried(
        &Delivery::to_loopback().attempt(&receiver.url()).await,
        AttemptOutcome::Protocol,
    );
    receiver.closed(1).await;
}

#[actix_web::test]
async fn an_interim_answer_does_not_pass_the_final_one_to_the_next_delivery() {
    let parts = vec![
        "HTTP/1.1 103 Early Hints\r\n\r\n".into(),
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".into(),
    ];
    let early = RawAnswer::Slowly {
        parts,
        pause: Duration::from_millis(20),
    };
    let receiver = answering([early, bytes("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n")]).await;
    let delivery = Delivery::to_loopback();
    assert_retried(&delivery.attempt(&receiver.url()).await, AttemptOutcome::Protocol);
    assert_retried(&delivery.attempt(&receiver.url()).await, AttemptOutcome::Http5xx);
    assert_eq!(receiver.connections(), 2);
}

#[actix_web::test]
async fn an_answer_without_a_length_ends_its_connection() {
    let receiver = answering([bytes("HTTP/1.1 200 OK\r\n\r\n")]).await;
    let delivery = Delivery::to_loopback();
    for _ in 0..2 {
        assert_delivered(&delivery.attempt(&receiver.url()).await);
    }
    assert_eq!(receiver.connections(), 2);
}

#[actix_web::test]
async fn no_answer_in_time_is_a_time_out() {
    let pause = Duration::from_millis(30);
    let parts = ["HTTP/1.1 200 OK\r\n", "a: b\r\n", "c: d\r\n", "e: f\r\n", "\r\n"]
        .map(Bytes::from)
        .to_vec();
    for answer in [RawAnswer::Hang, RawAnswer::Slowly { parts, pause }] {
        let receiver = answering([answer]).await;
        let delivery = Delivery::timing_out_after(Duration::from_millis(60));
        assert_retried(&delivery.attempt(&receiver.url()).await, AttemptOutcome::Timeout);
        receiver.closed(1).await;
    }
}

#[actix_web::test]
async fn a_name_server_that_hangs_is_a_time_out() {
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let config = Delivery::resolving(move |_| {
        // Ends with an error when the test drops the other end.
        let _ = held.lock().unwrap().recv();
        Ok(Vec::new())
    })
    .config;
    let delivery = Delivery::with(ExternalClientConfig {
        timeout: Duration::from_millis(50),
        ..config
    });
    assert_retried(
        &delivery.attempt("http://crm.example").await,
        AttemptOutcome::Timeout,
    );
    drop(release);
}

#[actix_web::test]
async fn a_closed_port_is_a_connect_error() {
    let unused = std::net::TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let result = Delivery::to_loopback().attempt(&format!("http://{unused}")).await;
    assert_retried(&result, AttemptOutcome::Connect);
}

#[actix_web::test]
async fn a_name_without_addresses_is_a_dns_error() {
    let failing = Delivery::resolving(|_| Err(io::Error::other("no such host")));
    let result = failing.attempt("http://crm.example").await;
    assert_retried(&result, AttemptOutcome::Dns);
    assert_eq!(
        result.error.as_deref(),
        Some("the name look-up failed: no such host")
    );
    let empty = Delivery::resolving(|_| Ok(Vec::new()));
    assert_retried(&empty.attempt("http://crm.example").await, AttemptOutcome::Dns);
}

#[actix_web::test]
async fn a_service_that_speaks_no_tls_is_a_tls_error() {
    // The raw receiver would wait for the end of an HTTP request: this one answers at once.
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let plain = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        stream
    });
    let delivery = Delivery::resolving(|_| Ok(vec![Ipv4Addr::LOCALHOST.into()]));
    let result = delivery
        .attempt(&format!("https://crm.example:{}", address.port()))
        .await;
    assert_retried(&result, AttemptOutcome::Tls);
    drop(plain.await.unwrap());
}

#[actix_web::test]
async fn an_address_that_is_not_allowed_is_not_called() {
    let receiver = Receiver::start().await.unwrap();
    let port = receiver.address().port();
    let nothing_listed = Delivery::allowing(&[]);
    for host in [
        "127.0.0.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "[::]",
        "2130706433",
        "0x7f.1",
    ] {
        let result = nothing_listed.attempt(&format!("http://{host}:{port}")).await;
        assert_retried(&result, AttemptOutcome::AddressRefused);
    }
    assert_eq!(receiver.count(), 0);
}

#[actix_web::test]
async fn of_several_addresses_only_the_allowed_ones_are_called() {
    let receiver = Receiver::start().await.unwrap();
    let port = receiver.address().port();
    let refused: IpAddr = "10.0.0.1".parse().unwrap();
    let mixed = Delivery::resolving(move |_| Ok(vec![refused, Ipv4Addr::LOCALHOST.into()]));
    assert_delivered(&mixed.attempt(&format!("http://crm.example:{port}")).await);
    let private = Delivery::resolving(move |_| Ok(vec![refused]));
    let result = private.attempt(&format!("http://crm.example:{port}")).await;
    assert_retried(&result, AttemptOutcome::AddressRefused);
}

#[actix_web::test]
async fn a_dead_address_leaves_time_for_the_next() {
    let receiver = Receiver::start().await.unwrap();
    let dead: IpAddr = Ipv4Addr::new(127, 0, 0, 2).into();
    let delivery = Delivery::resolving(move |_| Ok(vec![dead, Ipv4Addr::LOCALHOST.into()]));
    let base = format!("http://crm.example:{}", receiver.address().port());
    assert_delivered(&delivery.attempt(&base).await);
}

#[actix_web::test]
async fn many_deliveries_at_once_share_one_client() {
    let receiver = Receiver::start().await.unwrap();
    let delivery = Delivery::to_loopback();
    let url = receiver.url();
    let results = futures_util::future::join_all((0..64).map(|_| delivery.attempt(&url))).await;
    results.iter().for_each(assert_delivered);
    assert_eq!(receiver.count(), 64);
}

#[test]
fn an_unusable_configuration_is_a_failed_attempt() {
    let keys = SigningKeys::new(&secret(), None);
    let error = DeliveryTarget::new("http://user:pw@crm.example", keys, []).unwrap_err();
    assert_retried(&error.attempt_result(), AttemptOutcome::Misconfigured);
}
