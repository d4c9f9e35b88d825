//! Which connections are used again, and which are not.

use super::kit::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

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
async fn interim_answers_are_passed_over() {
    let parts = vec![
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hi".into(),
        "nts\r\nlink: </a>\r\n\r\n".into(),
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".into(),
    ];
    let early = RawAnswer::Slowly {
        parts,
        pause: Duration::from_millis(20),
    };
    let receiver = answering([early, bytes("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n")]).await;
    let delivery = Delivery::to_loopback();
    let result = delivery.attempt(&receiver.url()).await;
    assert_delivered(&result);
    assert_eq!(result.response.as_deref(), Some("ok"));
    assert_retried(&delivery.attempt(&receiver.url()).await, AttemptOutcome::Http5xx);
    assert_eq!(receiver.connections(), 1);
}

#[actix_web::test]
async fn a_change_of_protocol_is_no_answer() {
    let receiver = answering([bytes("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n")]).await;
    let delivery = Delivery::to_loopback();
    for _ in 0..2 {
        assert_retried(&delivery.attempt(&receiver.url()).await, AttemptOutcome::Protocol);
    }
    assert_eq!(receiver.connections(), 2);
}

#[actix_web::test]
async fn a_connection_that_is_closed_as_it_is_used_again_costs_no_attempt() {
    let receiver = answering([bytes(OK), RawAnswer::Close, bytes(OK)]).await;
    let delivery = Delivery::to_loopback();
    for _ in 0..2 {
        assert_delivered(&delivery.attempt(&receiver.url()).await);
    }
    assert_eq!((receiver.requests(), receiver.connections()), (3, 2));
}

#[actix_web::test]
async fn a_delivery_goes_out_once_more_and_no_oftener() {
    let receiver = answering([bytes(OK), RawAnswer::Close]).await;
    let delivery = Delivery::to_loopback();
    assert_delivered(&delivery.attempt(&receiver.url()).await);
    assert_retried(&delivery.attempt(&receiver.url()).await, AttemptOutcome::Protocol);
    assert_eq!((receiver.requests(), receiver.connections()), (3, 2));
}

#[actix_web::test]
async fn the_second_try_is_within_the_same_time_out() {
    let receiver = answering([bytes(OK), RawAnswer::Close, RawAnswer::Hang]).await;
    let delivery = Delivery::timing_out_after(Duration::from_millis(200));
    assert_delivered(&delivery.attempt(&receiver.url()).await);
    let result = delivery.attempt(&receiver.url()).await;
    assert_retried(&result, AttemptOutcome::Timeout);
    assert!(result.duration < Duration::from_secs(5), "{:?}", result.duration);
    assert_eq!(receiver.requests(), 3);
}

#[actix_web::test]
async fn an_answer_that_breaks_off_is_a_failure_on_any_connection() {
    let broken = RawAnswer::BytesThenClose("HTTP/1.1 2".into());
    let receiver = answering([bytes(OK), broken]).await;
    let delivery = Delivery::to_loopback();
    assert_delivered(&delivery.attempt(&receiver.url()).await);
    assert_retried(&delivery.attempt(&receiver.url()).await, AttemptOutcome::Protocol);
    assert_eq!((receiver.requests(), receiver.connections()), (2, 1));
}

#[actix_web::test]
async fn a_connection_that_was_closed_while_it_was_idle_is_not_used() {
    let receiver = answering([RawAnswer::BytesThenClose(OK.into()), bytes(OK)]).await;
    let delivery = Delivery::to_loopback();
    for _ in 0..2 {
        assert_delivered(&delivery.attempt(&receiver.url()).await);
        receiver.closed(1).await;
    }
    assert_eq!((receiver.requests(), receiver.connections()), (2, 2));
}

#[actix_web::test]
async fn an_idle_connection_is_closed_after_a_while() {
    let receiver = answering([bytes(OK)]).await;
    let delivery = Delivery::to_loopback();
    assert_delivered(&delivery.attempt(&receiver.url()).await);
    assert_eq!(delivery.config.budget.sockets(), 1);
    receiver.closed(1).await;
    assert_eq!(delivery.config.budget.sockets(), 0);
    assert_delivered(&delivery.attempt(&receiver.url()).await);
    assert_eq!(receiver.connections(), 2);
}

#[actix_web::test]
async fn a_changed_address_leaves_no_connection_behind() {
    let (former, latter) = (answering([bytes(OK)]).await, answering([bytes(OK)]).await);
    let delivery = Delivery::to_loopback();
    assert_delivered(&delivery.attempt(&former.url()).await);
    assert_delivered(&delivery.attempt(&latter.url()).await);
    former.closed(1).await;
    assert_eq!(delivery.config.budget.sockets(), 1);
}

#[actix_web::test]
async fn connections_are_closed_where_there_are_few() {
    let receiver = Receiver::start().await.unwrap();
    let delivery = Delivery::with(ExternalClientConfig {
        budget: ConnectionBudget::new(3),
        ..Delivery::to_loopback().config
    });
    let turn = delivery.client.turn().await;
    assert_delivered(&delivery.attempt(&receiver.url()).await);
    assert_eq!(delivery.config.budget.sockets(), 1, "this one may be kept");
    let other = delivery.client.turn_of_tests().await;
    assert_delivered(&delivery.attempt(&receiver.url()).await);
    let received = receiver.received(2).await;
    assert_eq!(received[1].header("connection"), Some("close"));
    assert_eq!(delivery.config.budget.sockets(), 0);
    drop((turn, other));
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
async fn many_deliveries_at_once_share_one_client() {
    let receiver = Receiver::start().await.unwrap();
    let delivery = Delivery::to_loopback();
    let url = receiver.url();
    let results = futures_util::future::join_all((0..64).map(|_| delivery.attempt(&url))).await;
    results.iter().for_each(assert_delivered);
    assert_eq!(receiver.count(), 64);
}
