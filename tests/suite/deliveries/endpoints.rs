//! Services that misbehave: what becomes of their deliveries, and of those of the others.

use std::{net::Ipv4Addr, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use pointsman_receive::{Behavior, RawAnswer, RawReceiver};
use serde_json::{Value, json};

use pointsman_test_kit::{
    Certificate, DownService, Engine, Extension, Service, TestApp, TestAuthority, TlsService, Workspace,
    on_both_engines,
};

on_both_engines! {
    without_a_complete_head_an_attempt_has_failed,
    a_2xx_head_is_a_delivery_whatever_the_body_does,
    an_answer_other_than_2xx_is_a_failure_of_its_class,
    a_wish_to_wait_is_heard_within_reason,
    a_service_of_a_private_authority_is_delivered_to,
    a_connection_that_is_closed_as_it_is_used_again_costs_no_attempt,
    large_answers_cost_no_memory,
    services_that_hang_take_no_connection_from_the_others,
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A service that speaks bytes, installed.
struct Misbehaving {
    extension: Extension,
    expected: &'static str,
    what: &'static str,
    /// Serves until dropped.
    _service: Option<RawReceiver>,
}

/// Installs an extension whose service behaves like this, and what its attempts are to end as.
async fn install(
    workspace: &Workspace,
    what: &'static str,
    answer: RawAnswer,
    expected: &'static str,
) -> Misbehaving {
    let service = RawReceiver::start(vec![answer]).await.expect("a free port");
    let url = service.url();
    install_at(workspace, what, &url, Some(service), expected).await
}

async fn install_at(
    workspace: &Workspace,
    what: &'static str,
    url: &str,
    service: Option<RawReceiver>,
    expected: &'static str,
) -> Misbehaving {
    let extension = workspace.install_at(what, url).subscribed_to(&["crm.**"]).await;
    Misbehaving {
        extension,
        expected,
        what,
        _service: service,
    }
}

/// The outcomes of all attempts, once the delivery has become this.
async fn outcomes(workspace: &Workspace, event: &str, extension: &Extension, status: &str) -> Vec<Value> {
    workspace.becomes(event, extension, status).await;
    pointsman_test_kit::eventually("the history is written", async || {
        let delivery = workspace.delivery(event, extension).await;
        let attempts = delivery["attempts"].as_array().cloned().unwrap_or_default();
        let outcomes: Vec<_> = attempts
            .iter()
            .map(|attempt| attempt["outcome"].clone())
            .collect();
        let is_last = attempts.last().is_some_and(|last| {
            (last["outcome"] == "DELIVERED") == (status == "DELIVERED") && last["number"] == attempts.len()
        });
        // The history follows the settlement.
        if is_last && (status != "DEAD" || attempts.len() == 2) {
            Ok(outcomes)
        } else {
            Err(delivery)
        }
    })
    .await
}

fn slowly(parts: impl IntoIterator<Item = &'static str>) -> RawAnswer {
    RawAnswer::Slowly {
        parts: parts.into_iter().map(Bytes::from).collect(),
        pause: Duration::from_millis(100),
    }
}

fn text(text: &'static str) -> RawAnswer {
    RawAnswer::Bytes(text.into())
}

fn endless(head: &'static str, chunk: impl Into<Bytes>) -> RawAnswer {
    RawAnswer::Endless {
        head: head.into(),
        chunk: chunk.into(),
    }
}

async fn without_a_complete_head_an_attempt_has_failed(engine: Engine) {
    let (authority, stranger) = (TestAuthority::new(), TestAuthority::new());
    let app = TestApp::with(engine, |settings| {
        settings
            .set("delivery.timeout", "500ms")
            .set("delivery.extra_ca_file", authority.file().display())
            .retrying_after(&["50ms"])
    })
    .await;
    let workspace = app.workspace("acme").await;
    let healthy = Service::start().await;
    let quick = workspace
        .install_external("quick", &healthy)
        .subscribed_to(&["crm.**"])
        .await;
    let mut all = join_all(
        without_a_head()
            .into_iter()
            .map(|(what, answer, expected)| install(&workspace, what, answer, expected)),
    )
    .await;
    let mut services = Vec::new();
    for (what, certificate) in [
        ("is-not-trusted", stranger.issue(&["127.0.0.1"])),
        ("has-expired", authority.issue_expired(&["127.0.0.1"])),
        ("is-somebody-else", authority.issue(&["crm.example", "127.0.0.2"])),
        ("signs-itself", Certificate::signed_by_itself(&["127.0.0.1"])),
    ] {
        let service = TlsService::start(certificate, Ipv4Addr::LOCALHOST).await;
        let url = format!("https://{}", service.address());
        all.push(install_at(&workspace, what, &url, None, "TLS").await);
        services.push(service);
    }
    let (down, plain) = (
        DownService::reserve().expect("a free port"),
        Service::start().await,
    );
    for (what, url, expected) in [
        ("refuses", down.url(), "CONNECT"),
        ("has-no-name", "http://nobody.invalid".to_owned(), "DNS"),
        ("is-not-allowed", "http://10.0.0.1".to_owned(), "ADDRESS_REFUSED"),
        ("speaks-no-tls", plain.url().replace("http:", "https:"), "TLS"),
    ] {
        all.push(install_at(&workspace, what, &url, None, expected).await);
    }

    let event = workspace.publish("crm.deal.closed", json!({})).await;
    assert_eq!(
        outcomes(&workspace, &event, &quick, "DELIVERED").await,
        ["DELIVERED"]
    );
    for service in &all {
        let outcomes = outcomes(&workspace, &event, &service.extension, "DEAD").await;
        // A name server may take longer to say no than the attempt lasts.
        let is_as_expected = |outcome: &Value| {
            outcome == service.expected || (service.expected == "DNS" && outcome == "TIMEOUT")
        };
        assert!(
            outcomes.iter().all(is_as_expected),
            "{}: {outcomes:?}",
            service.what
        );
    }
    for letter in workspace.dead_letters_become(all.len(), "").await {
        assert_eq!(
            (&letter["reason"], &letter["attemptsMade"]),
            (&json!("RETRIES_EXHAUSTED"), &json!(2)),
            "{letter}"
        );
    }
    app.finish().await;
    assert_eq!((healthy.count(), plain.count()), (1, 0));
    assert!(services.iter().all(|service| service.requests() == 0));
}

/// What a service may do without ever sending a complete head, and what that is.
fn without_a_head() -> Vec<(&'static str, RawAnswer, &'static str)> {
    let close = |text: &'static str| RawAnswer::BytesThenClose(text.into());
    let bomb = "x".repeat(1 << 20);
    vec![
        ("hangs", RawAnswer::Hang, "TIMEOUT"),
        ("hangs-in-head", text("HTTP/1.1 200 OK\r\ncont"), "TIMEOUT"),
        (
            "trickles",
            slowly(["H", "T", "T", "P", "/", "1", ".", "1", " ", "2"]),
            "TIMEOUT",
        ),
        ("closes", RawAnswer::Close, "PROTOCOL"),
        (
            "closes-in-head",
            close("HTTP/1.1 200 OK\r\ncontent-le"),
            "PROTOCOL",
        ),
        ("is-no-http", close("SSH-2.0-OpenSSH_9.2\r\n"), "PROTOCOL"),
        ("is-broken-http", text("HTTP/1.1 abc OK\r\n\r\n"), "PROTOCOL"),
        (
            "bad-length",
            text("HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n"),
            "PROTOCOL",
        ),
        (
            "endless-head",
            endless("HTTP/1.1 200 OK\r\n", "x-filler: 1\r\n"),
            "PROTOCOL",
        ),
        (
            "head-of-a-mebibyte",
            endless("HTTP/1.1 200 OK\r\nx-bomb: ", bomb),
            "PROTOCOL",
        ),
        (
            "interim-flood",
            endless("", "HTTP/1.1 103 Early Hints\r\n\r\n"),
            "PROTOCOL",
        ),
        (
            "switches",
            text("HTTP/1.1 101 Switching Protocols\r\n\r\n"),
            "PROTOCOL",
        ),
    ]
}

async fn a_2xx_head_is_a_delivery_whatever_the_body_does(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n";
    let piece = "x".repeat(1 << 16);
    let cases = [
        (
            "hangs-in-body",
            text("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel"),
        ),
        ("trickles-in-body", slowly(std::iter::once(head).chain(["x"; 50]))),
        ("ten-gigabytes", endless(head, piece.clone())),
        (
            "endless-chunks",
            endless(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
                format!("10000\r\n{piece}\r\n"),
            ),
        ),
        (
            "closes-in-body",
            RawAnswer::BytesThenClose("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\na".into()),
        ),
        (
            "broken-chunks",
            text("HTTP/1.1 201 Made\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n"),
        ),
        (
            "after-interim-answers",
            slowly([
                "HTTP/1.1 100 Continue\r\n\r\n",
                "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n",
                "HTTP/1.1 204 No Content\r\n\r\n",
            ]),
        ),
    ];
    let installing = cases.map(|(what, answer)| install(&workspace, what, answer, "DELIVERED"));
    let all = join_all(installing).await;
    let event = workspace.publish("crm.deal.closed", json!({})).await;
    for service in &all {
        let outcomes = outcomes(&workspace, &event, &service.extension, "DELIVERED").await;
        assert_eq!(outcomes, ["DELIVERED"], "{}", service.what);
    }
    assert!(workspace.dead_letters("").await.is_empty());
    app.finish().await;
}

async fn an_answer_other_than_2xx_is_a_failure_of_its_class(engine: Engine) {
    let app = TestApp::with(engine, |settings| settings.retrying_after(&["50ms"])).await;
    let workspace = app.workspace("acme").await;
    let mut all = Vec::new();
    for (what, status, expected) in [
        ("moved", 301, "HTTP_3XX"),
        ("goes-round", 307, "HTTP_3XX"),
        ("refuses", 403, "HTTP_4XX"),
        ("breaks", 500, "HTTP_5XX"),
    ] {
        let service = Service::behaving(Behavior::status(status).with_header("location", "/events")).await;
        let extension = workspace
            .install_external(what, &service)
            .subscribed_to(&["crm.**"])
            .await;
        all.push((service, extension, expected));
    }
    let event = workspace.publish("crm.deal.closed", json!({})).await;
    for (service, extension, expected) in &all {
        let outcomes = outcomes(&workspace, &event, extension, "DEAD").await;
        assert_eq!(outcomes, [*expected, *expected]);
        assert_eq!(service.count(), 2);
    }
    app.finish().await;
}

async fn a_wish_to_wait_is_heard_within_reason(engine: Engine) {
    let app = TestApp::with(engine, |settings| settings.retrying_after(&["50ms"])).await;
    let workspace = app.workspace("acme").await;
    let mut all = Vec::new();
    for (what, wish, is_heard) in [
        ("a-year", "31536000", true),
        ("another-century", "Thu, 01 Jan 2099 00:00:00 GMT", true),
        ("negative", "-5", false),
        ("nonsense", "in a while", false),
        ("in-the-past", "Thu, 01 Jan 1970 00:00:00 GMT", false),
    ] {
        let service = Service::behaving(Behavior::status(503).with_header("retry-after", wish)).await;
        let extension = workspace
            .install_external(what, &service)
            .subscribed_to(&["crm.**"])
            .await;
        all.push((service, extension, is_heard));
    }
    let event = workspace.publish("crm.deal.closed", json!({})).await;
    for (service, extension, is_heard) in &all {
        if *is_heard {
            let delivery = workspace.becomes(&event, extension, "RETRYING").await;
            let next = delivery["nextAttemptAt"]
                .as_str()
                .expect("it has a time")
                .to_owned();
            let next: chrono::DateTime<chrono::Utc> = next.parse().expect("it is a time");
            let published = workspace.event(&event).await["occurredAt"]
                .as_str()
                .map(str::to_owned);
            let published: chrono::DateTime<chrono::Utc> =
                published.expect("it has a time").parse().expect("it is a time");
            let wait = (next - published).num_minutes();
            assert!((1439..=1450).contains(&wait), "a day at most, not {wait} minutes");
            assert_eq!(service.count(), 1);
        } else {
            workspace.becomes(&event, extension, "DEAD").await;
            assert_eq!(service.count(), 2);
        }
    }
    app.finish_leaving_unsettled().await;
}

async fn a_service_of_a_private_authority_is_delivered_to(engine: Engine) {
    let authority = TestAuthority::new();
    let app = TestApp::with(engine, |settings| {
        settings.set("delivery.extra_ca_file", authority.file().display())
    })
    .await;
    let workspace = app.workspace("acme").await;
    let service = TlsService::start(authority.issue(&["localhost", "127.0.0.1"]), Ipv4Addr::LOCALHOST).await;
    let port = service.address().port();
    let mut all = Vec::new();
    for host in ["localhost", "127.0.0.1"] {
        let extension = workspace
            .install_at(host, format!("https://{host}:{port}"))
            .subscribed_to(&["crm.**"])
            .await;
        all.push(extension);
    }
    let event = workspace.publish("crm.deal.closed", json!({})).await;
    for extension in &all {
        assert_eq!(
            outcomes(&workspace, &event, extension, "DELIVERED").await,
            ["DELIVERED"]
        );
    }
    app.finish().await;
    assert_eq!((service.requests(), service.connections()), (2, 2));
}

async fn a_connection_that_is_closed_as_it_is_used_again_costs_no_attempt(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let answers = vec![text(OK), RawAnswer::Close, text(OK)];
    let service = RawReceiver::start(answers).await.expect("a free port");
    let crm = workspace
        .install_at("crm", service.url())
        .subscribed_to(&["crm.**"])
        .await;
    for _ in 0..2 {
        let event = workspace.publish("crm.deal.closed", json!({})).await;
        assert_eq!(
            outcomes(&workspace, &event, &crm, "DELIVERED").await,
            ["DELIVERED"]
        );
    }
    app.finish().await;
    assert_eq!((service.requests(), service.connections()), (3, 2));
}

async fn large_answers_cost_no_memory(engine: Engine) {
    const EVENTS: usize = 100;
    /// An answer read without a bound would cost this much each within the second that a body is read.
    const MOST_GROWTH: u64 = 128 << 20;
    // All of them are to fail, and at once.
    let app = TestApp::with(engine, |settings| {
        settings
            .set("delivery.breaker_failures", 1000)
            .retrying_after(&[])
    })
    .await;
    let workspace = app.workspace("acme").await;
    let piece = Bytes::from("x".repeat(1 << 20));
    let cases = [
        (
            "body",
            endless(
                "HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n",
                piece.clone(),
            ),
        ),
        ("head", endless("HTTP/1.1 200 OK\r\nx-bomb: ", piece)),
    ];
    let installing = cases.map(|(what, answer)| install(&workspace, what, answer, ""));
    let all = join_all(installing).await;
    let before = app.resident_bytes();
    let events = workspace.publish_many("crm.deal.closed", EVENTS).await;
    for event in &events {
        workspace.becomes(event, &all[0].extension, "DELIVERED").await;
        workspace.becomes(event, &all[1].extension, "DEAD").await;
    }
    let growth = app.resident_bytes().saturating_sub(before);
    assert!(growth < MOST_GROWTH, "{growth} bytes more");
    app.finish().await;
}

async fn services_that_hang_take_no_connection_from_the_others(engine: Engine) {
    const HANGING: usize = 50;
    const EVENTS: usize = 64;
    let app = TestApp::with(engine, |settings| settings.set("delivery.timeout", "30m")).await;
    let (acme, globex) = (app.workspace("acme").await, app.workspace("globex").await);
    let hanging = RawReceiver::start(vec![RawAnswer::Hang])
        .await
        .expect("a free port");
    for number in 0..HANGING {
        acme.install_at(&format!("hanging-{number}"), hanging.url())
            .subscribed_to(&["crm.**"])
            .await;
    }
    let (near, far) = (Service::start().await, Service::start().await);
    acme.install_external("near", &near)
        .subscribed_to(&["crm.**"])
        .await;
    globex
        .install_external("far", &far)
        .subscribed_to(&["crm.**"])
        .await;

    // The time-out is longer than any wait of the kit: what arrives has not waited for it.
    let published = acme.publish_many("crm.deal.closed", EVENTS).await;
    assert_eq!(near.sorted_event_ids(EVENTS as u64).await, published);
    let elsewhere = globex.publish_many("crm.deal.closed", EVENTS).await;
    assert_eq!(far.sorted_event_ids(EVENTS as u64).await, elsewhere);
    pointsman_test_kit::eventually("all hang", async || {
        let connections = hanging.connections();
        if connections >= HANGING as u64 * 8 {
            Ok(())
        } else {
            Err(connections)
        }
    })
    .await;
    app.finish_leaving_unsettled().await;
}
