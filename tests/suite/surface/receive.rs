//! `pointsman receive`, the service for trying things out.

use std::{net::TcpListener, process::Command};

use pointsman_clock::Clock;
use pointsman_domain::{
    id::EventId,
    signing::{SigningKeys, SigningSecret},
};
use tokio::{task::spawn_blocking, time::timeout};
use uuid::Uuid;

use pointsman_test_kit::{ExampleService, PATIENCE, server_program};

const BODY: &str = r#"{"a":1}"#;

#[actix_web::test]
async fn a_delivery_that_is_not_signed_with_the_secret_is_answered_401() {
    let secret = SigningSecret::from_random([7; 32]);
    let service = receive(&["--secret", &secret.reveal()]).await;
    let now = Clock.wall();
    let (id, keys) = (EventId::new(Uuid::nil()), SigningKeys::new(&secret, None));
    let signed = |keys: &SigningKeys, seconds: i64| {
        let at = now.seconds() + seconds;
        let signature = keys.sign(id, at, BODY.as_bytes());
        vec![
            ("webhook-id", id.to_string()),
            ("webhook-timestamp", at.to_string()),
            ("webhook-signature", signature),
        ]
    };
    let foreign = SigningKeys::new(&SigningSecret::from_random([8; 32]), None);
    let without = |name: &str| {
        let mut headers = signed(&keys, 0);
        headers.retain(|(header, _)| *header != name);
        headers
    };
    for (what, headers, status) in [
        ("signed", signed(&keys, 0), 200),
        ("signed four minutes ago", signed(&keys, -240), 200),
        ("signed with another secret", signed(&foreign, 0), 401),
        ("too old", signed(&keys, -400), 401),
        ("too new", signed(&keys, 400), 401),
        ("without a signature", without("webhook-signature"), 401),
        ("without a time", without("webhook-timestamp"), 401),
        ("without an id", without("webhook-id"), 401),
        ("without any header", Vec::new(), 401),
    ] {
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let answer = service.caller().send("POST", "/events", &headers, BODY).await;
        assert_eq!(answer.status, status, "{what}");
    }
    // What it is told to do with deliveries, it does with those that are signed.
    let failing = receive(&["--secret", &secret.reveal(), "--fail-first", "1"]).await;
    let headers = signed(&keys, 0);
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    for (headers, status) in [(&[][..], 401), (&headers, 500), (&headers, 200)] {
        let answer = failing.caller().send("POST", "/events", headers, BODY).await;
        assert_eq!(answer.status, status);
    }
}

async fn receive(arguments: &[&str]) -> ExampleService {
    let mut command = Command::new(server_program());
    ExampleService::start(command.args(["receive", "--port", "0"]).args(arguments)).await
}

#[actix_web::test]
async fn a_port_that_is_taken_and_a_configuration_are_told_of() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = taken.local_addr().expect("it is bound").port();
    let port = port.to_string();
    for (arguments, code, line) in [
        (
            ["--port".to_owned(), port.clone()],
            1,
            format!("pointsman: cannot listen on 127.0.0.1:{port}: "),
        ),
        (
            ["--config".to_owned(), "any.toml".to_owned()],
            2,
            "pointsman: receive reads no configuration: leave --config out".to_owned(),
        ),
    ] {
        let mut command = Command::new(server_program());
        let ended = spawn_blocking(move || command.arg("receive").args(arguments).output());
        let ended = timeout(PATIENCE, ended).await.expect("it ends by itself");
        let ended = ended.expect("waiting does not panic").expect("it can be started");
        let told = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(code), "{told}");
        assert!(told.starts_with(&line) && told.lines().count() == 1, "{told}");
    }
}
