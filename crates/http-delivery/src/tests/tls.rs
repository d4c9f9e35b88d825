//! Services behind TLS.

use pointsman_test_kit::{Certificate, TestAuthority, TlsService};

use std::net::Ipv6Addr;

use super::kit::*;

/// A delivery that trusts the authority, to `https://{host}` at the port of the service.
async fn deliver(authority: &TestAuthority, host: &str, service: &TlsService) -> AttemptResult {
    let base = format!("https://{host}:{}", service.address().port());
    Delivery::trusting(authority.file()).attempt(&base).await
}

#[actix_web::test]
async fn a_service_of_a_trusted_authority_is_delivered_to() {
    let authority = TestAuthority::new();
    let service = TlsService::start(authority.issue(&["crm.example"]), Ipv4Addr::LOCALHOST).await;
    let delivery = Delivery::trusting(authority.file());
    let base = format!("https://crm.example:{}", service.address().port());
    for _ in 0..3 {
        assert_delivered(&delivery.attempt(&base).await);
    }
    assert_eq!((service.requests(), service.connections()), (3, 1));
}

#[actix_web::test]
async fn an_address_in_the_url_is_a_name_like_any_other() {
    let authority = TestAuthority::new();
    let v4 = TlsService::start(authority.issue(&["127.0.0.1"]), Ipv4Addr::LOCALHOST).await;
    assert_delivered(&deliver(&authority, "127.0.0.1", &v4).await);
    let v6 = TlsService::start(authority.issue(&["::1"]), Ipv6Addr::LOCALHOST).await;
    let base = format!("https://[::1]:{}", v6.address().port());
    let config = Delivery::trusting(authority.file()).config;
    let delivery = Delivery::with(ExternalClientConfig {
        allow_networks: ["::1/128".parse().unwrap()].into(),
        ..config
    });
    assert_delivered(&delivery.attempt(&base).await);
}

#[actix_web::test]
async fn a_certificate_that_does_not_hold_is_a_tls_error() {
    let (authority, stranger) = (TestAuthority::new(), TestAuthority::new());
    for (what, certificate) in [
        ("of another authority", stranger.issue(&["crm.example"])),
        (
            "signed by itself",
            Certificate::signed_by_itself(&["crm.example"]),
        ),
        ("for another name", authority.issue(&["erp.example"])),
        ("expired", authority.issue_expired(&["crm.example"])),
    ] {
        let service = TlsService::start(certificate, Ipv4Addr::LOCALHOST).await;
        let result = deliver(&authority, "crm.example", &service).await;
        assert_retried(&result, AttemptOutcome::Tls);
        assert_eq!(service.requests(), 0, "{what}");
    }
}

#[actix_web::test]
async fn a_public_authority_alone_trusts_no_other() {
    let authority = TestAuthority::new();
    let service = TlsService::start(authority.issue(&["crm.example"]), Ipv4Addr::LOCALHOST).await;
    let delivery = Delivery::resolving(|_| Ok(vec![Ipv4Addr::LOCALHOST.into()]));
    let base = format!("https://crm.example:{}", service.address().port());
    assert_retried(&delivery.attempt(&base).await, AttemptOutcome::Tls);
}

#[actix_web::test]
async fn a_handshake_that_hangs_is_a_time_out() {
    // Never answers, since it never sees the end of a request.
    let receiver = answering([RawAnswer::Hang]).await;
    let delivery = Delivery::timing_out_after(Duration::from_millis(100));
    let result = delivery.attempt(&receiver.url().replace("http:", "https:")).await;
    assert_retried(&result, AttemptOutcome::Timeout);
    receiver.closed(1).await;
    assert_eq!(delivery.config.budget.sockets(), 0);
}

#[actix_web::test]
async fn a_change_between_http_and_https_holds_at_once() {
    let receiver = answering([bytes("HTTP/1.1 204 No Content\r\n\r\n")]).await;
    let delivery = Delivery::timing_out_after(Duration::from_millis(300));
    assert_delivered(&delivery.attempt(&receiver.url()).await);
    let secure = receiver.url().replace("http:", "https:");
    assert_retried(&delivery.attempt(&secure).await, AttemptOutcome::Timeout);
    assert_delivered(&delivery.attempt(&receiver.url()).await);
}

#[test]
fn a_file_without_certificates_is_refused_with_its_name() {
    let authority = TestAuthority::new();
    let folder = authority.file().parent().unwrap();
    let (empty, missing) = (folder.join("empty.pem"), folder.join("missing.pem"));
    std::fs::write(&empty, "nothing").unwrap();
    for (file, text) in [(&empty, "it holds no certificate"), (&missing, "No such file")] {
        let error = tls_config_with(file).unwrap_err().to_string();
        assert!(error.contains(text) && error.contains(".pem"), "{error}");
    }
    let broken = folder.join("broken.pem");
    std::fs::write(
        &broken,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    assert!(tls_config_with(&broken).is_err());
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
