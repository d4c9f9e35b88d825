//! Names, and the addresses they stand for.

use super::kit::*;

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
