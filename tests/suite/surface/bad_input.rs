//! Bad input: each kind has its status, its code and, for validation, its field; and nothing is written.

mod queries;
mod routes;

use std::io::{Read as _, Write as _};

use serde_json::json;
use tokio::task::spawn_blocking;

use pointsman_test_kit::{Answer, Caller, Engine, Service, TestApp, on_both_engines};

on_both_engines! {
    a_bad_publish_is_refused_and_not_recorded,
    the_longest_that_is_allowed_is_accepted,
    a_body_over_the_limit_is_refused_without_being_read,
    a_body_that_breaks_off_is_not_recorded,
}

/// A body, and what it is refused with: the code, and the fields of a `VALIDATION_FAILED`.
type Case<'a> = (&'a [u8], &'a str, &'a [&'a str]);

const MALFORMED: &str = "MALFORMED_JSON";
const INVALID: &str = "VALIDATION_FAILED";

const BAD_PUBLISHES: &[Case<'_>] = &[
    (b"", MALFORMED, &[]),
    (b"{", MALFORMED, &[]),
    (b"nonsense", MALFORMED, &[]),
    (br#"{"eventKey":"a.b"} more"#, MALFORMED, &[]),
    (br#"{"eventKey":"a.b","payload":{"a":1}"#, MALFORMED, &[]),
    (br#"{"eventKey":"a.b","payload":{"a":01}}"#, MALFORMED, &[]),
    (br#"{"eventKey":"a.b","payload":{"a":1,}}"#, MALFORMED, &[]),
    (b"{\"eventKey\":\"a.b\",\"actor\":\"\xff\"}", MALFORMED, &[]),
    (br#"{"eventKey":"a.b","eventKey":"a.b"}"#, MALFORMED, &[]),
    (br#"{"eventKey":"a.b","payload":{},"payload":{}}"#, MALFORMED, &[]),
    (br#"{"eventKey":"a.b","other":1,"other":2}"#, MALFORMED, &[]),
    (b"null", INVALID, &["body"]),
    (b"[]", INVALID, &["body"]),
    (br#""eventKey""#, INVALID, &["body"]),
    (b"{}", INVALID, &["eventKey"]),
    (br#"{"eventKey":null}"#, INVALID, &["eventKey"]),
    (br#"{"eventKey":7}"#, INVALID, &["eventKey"]),
    (br#"{"eventKey":["a.b"]}"#, INVALID, &["eventKey"]),
    (br#"{"eventKey":""}"#, INVALID, &["eventKey"]),
    (br#"{"eventKey":"deal"}"#, INVALID, &["eventKey"]),
    (br#"{"eventKey":"crm..deal"}"#, INVALID, &["eventKey"]),
    (br#"{"eventKey":".crm.deal"}"#, INVALID, &["eventKey"]),
    (br#"{"eventKey":"crm.deal."}"#, INVALID, &["eventKey"]),
    (br#"{"eventKey":"crm.*"}"#, INVALID, &["eventKey"]),
    (br#"{"eventKey":"crm.de al"}"#, INVALID, &["eventKey"]),
    (br#"{"eventKey":"crm.de\u0000al"}"#, INVALID, &["eventKey"]),
    (
        "{\"eventKey\":\"crm.d\u{e9}al\"}".as_bytes(),
        INVALID,
        &["eventKey"],
    ),
    (
        br#"{"eventKey":"a.b","schemaVersion":1.0}"#,
        INVALID,
        &["schemaVersion"],
    ),
    (
        br#"{"eventKey":"a.b","schemaVersion":"1\n0"}"#,
        INVALID,
        &["schemaVersion"],
    ),
    (br#"{"eventKey":"a.b","actor":{"id":1}}"#, INVALID, &["actor"]),
    (br#"{"eventKey":"a.b","actor":"a\u0000b"}"#, INVALID, &["actor"]),
    (br#"{"eventKey":"a.b","actor":"a\u007fb"}"#, INVALID, &["actor"]),
    (br#"{"eventKey":"a.b","payload":[]}"#, INVALID, &["payload"]),
    (br#"{"eventKey":"a.b","payload":"{}"}"#, INVALID, &["payload"]),
    (br#"{"eventKey":"a.b","payload":null}"#, INVALID, &["payload"]),
    (
        br#"{"eventKey":1,"schemaVersion":2,"actor":3,"payload":4}"#,
        INVALID,
        &["eventKey", "schemaVersion", "actor", "payload"],
    ),
];

#[track_caller]
fn check(answer: &Answer, code: &str, fields: &[&str], what: &str) {
    let shown = format!(
        "{what} answered {} {}",
        answer.status,
        String::from_utf8_lossy(&answer.body)
    );
    let status = match code {
        "NOT_FOUND" => 404,
        "CONFLICT" => 409,
        "PAYLOAD_TOO_LARGE" => 413,
        "UNSUPPORTED_MEDIA_TYPE" => 415,
        _ => 400,
    };
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{shown}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json"),
        "{shown}"
    );
    assert_eq!(answer.wrong_fields(), fields, "{shown}");
}

async fn a_bad_publish_is_refused_and_not_recorded(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    workspace
        .install_external("all", &service)
        .subscribed_to(&["**"])
        .await;
    for (body, code, fields) in BAD_PUBLISHES {
        let answer = workspace.publish_raw(*body).await;
        check(&answer, code, fields, &String::from_utf8_lossy(body));
    }
    let too_long = |key: &str, version: &str, actor: &str| {
        json!({"eventKey": key, "schemaVersion": version, "actor": actor}).to_string()
    };
    for (body, field) in [
        (too_long(&format!("a.{}", "b".repeat(254)), "1", "a"), "eventKey"),
        (too_long("a.b", &"1".repeat(33), "a"), "schemaVersion"),
        (too_long("a.b", "1", &"a".repeat(256)), "actor"),
        (too_long("a.b", "1", &"\u{e9}".repeat(128)), "actor"),
    ] {
        check(
            &workspace.publish_raw(body.clone()).await,
            INVALID,
            &[field],
            &body,
        );
    }
    let path = workspace.path("/events/publish");
    for headers in [
        &[][..],
        &[("content-type", "text/plain")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[("content-type", "application/json"), ("content-encoding", "gzip")],
    ] {
        let answer = app
            .admin
            .send("POST", &path, headers, r#"{"eventKey":"a.b"}"#)
            .await;
        check(&answer, "UNSUPPORTED_MEDIA_TYPE", &[], &format!("{headers:?}"));
    }
    assert!(workspace.events().await.is_empty());
    app.finish().await;
    assert_eq!(service.count(), 0);
}

async fn the_longest_that_is_allowed_is_accepted(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let key = format!("a.{}", "b".repeat(253));
    let body = json!({"eventKey": key, "schemaVersion": "1".repeat(32), "actor": "\u{e9}".repeat(127), "unknown": [1]});
    workspace.publish_raw(body.to_string()).await.expect(200);
    // Exactly publish.max_body_bytes.
    let frame = r#"{"eventKey":"a.b","payload":{"a":""}}"#;
    let full = frame.replace("\"\"", &format!("\"{}\"", "x".repeat(262_144 - frame.len())));
    workspace.publish_raw(full).await.expect(200);
    assert_eq!(workspace.events().await.len(), 2);
    // A deep payload is text to us, on its way in and out.
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    let body = format!("{{\"eventKey\":\"a.b\",\"payload\":{deep}}}");
    let published = workspace.publish_raw(body).await.expect(200);
    let location = published
        .header("location")
        .expect("where the event is")
        .to_owned();
    let shown = app.admin.get(&location).await.expect(200);
    assert!(String::from_utf8_lossy(&shown.body).contains(&deep));
    app.finish().await;
}

async fn a_body_over_the_limit_is_refused_without_being_read(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let answer = workspace.publish_raw(vec![b' '; 262_145]).await;
    check(&answer, "PAYLOAD_TOO_LARGE", &[], "one byte too many");

    // A gigabyte is announced and never sent: the answer comes all the same.
    let head = request_head(&workspace.caller, &workspace.path("/events/publish"), 1 << 30);
    let answer = raw(&app, head, false).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("PAYLOAD_TOO_LARGE"), "{answer}");
    assert!(workspace.events().await.is_empty());
    app.finish().await;
}

async fn a_body_that_breaks_off_is_not_recorded(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let whole = r#"{"eventKey":"a.b"}"#;
    let head = request_head(
        &workspace.caller,
        &workspace.path("/events/publish"),
        whole.len() + 1,
    );
    let answer = raw(&app, format!("{head}{whole}"), true).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 400 "),
        "{answer}"
    );
    assert!(workspace.events().await.is_empty());
    app.finish().await;
}

fn request_head(caller: &Caller, path: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nCookie: {}\r\n\
         Content-Length: {length}\r\n\r\n",
        caller.cookie()
    )
}

/// Sends these bytes on a connection of its own and reads what comes back, up to the end of the first
/// answer or of the connection. `end` ends the sending half.
async fn raw(app: &TestApp, bytes: String, end: bool) -> String {
    let address = app.address();
    let exchange = spawn_blocking(move || {
        let mut stream = std::net::TcpStream::connect(address).expect("the server listens");
        stream
            .set_read_timeout(Some(pointsman_test_kit::PATIENCE))
            .expect("a time-out can be set");
        stream.write_all(bytes.as_bytes()).expect("the server reads");
        if end {
            stream
                .shutdown(std::net::Shutdown::Write)
                .expect("a half can be closed");
        }
        let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => answer.extend_from_slice(&buffer[..read]),
                // A server that answers before it has read everything may reset the connection.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
                Err(error) => panic!("no answer: {error}"),
            }
            if answer.ends_with(b"}") {
                break;
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    });
    exchange.await.expect("the exchange does not panic")
}
