//! Which connections are used again, and which are not.

use super::{
    super::{
        dial_error::DialError,
        stream::{Keep, Wire},
    },
    kit::*,
};

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

/// Installations that share so many connections.
fn sharing<const N: usize>(most_connections: usize) -> [Delivery; N] {
    let config = ExternalClientConfig {
        budget: ConnectionBudget::new(most_connections),
        ..Delivery::to_loopback().config
    };
    std::array::from_fn(|_| Delivery::with(config.clone()))
}

#[actix_web::test]
async fn a_connection_that_is_kept_needs_no_second_slot() {
    let receiver = Receiver::start().await.unwrap();
    let [delivery] = sharing(3);
    let turns = (
        delivery.client.connection_permit(Share::Installation).await,
        delivery.client.connection_permit(Share::Tests).await,
    );
    for _ in 0..3 {
        assert_delivered(&delivery.attempt(&receiver.url()).await);
        assert_eq!(
            delivery.config.budget.sockets(),
            1,
            "there is an idle slot for one"
        );
    }
    let received = receiver.received(3).await;
    assert!(
        received
            .iter()
            .all(|request| request.header("connection").is_none())
    );
    drop(turns);
}

#[actix_web::test]
async fn deliveries_at_once_keep_no_more_connections_than_there_are_slots() {
    let receiver = Receiver::start().await.unwrap();
    let deliveries: [_; 3] = sharing(13);
    let url = receiver.url();
    for round in 1..=4 {
        let attempts = deliveries
            .iter()
            .flat_map(|delivery| (0..5).map(|_| delivery.attempt(&url)));
        let results = futures_util::future::join_all(attempts).await;
        results.iter().for_each(assert_delivered);
        let received = receiver.received(15 * round).await;
        let closed = received
            .iter()
            .filter(|request| request.header("connection") == Some("close"));
        assert_eq!(
            closed.count(),
            9 * usize::try_from(round).unwrap(),
            "six are kept and used again"
        );
        let sockets = || deliveries[0].config.budget.sockets();
        while sockets() > 6 {
            tokio::task::yield_now().await;
        }
    }
}

#[actix_web::test]
async fn the_slot_of_a_closed_connection_goes_to_the_next_one() {
    let receiver = answering([RawAnswer::BytesThenClose(OK.into()), bytes(OK)]).await;
    let elsewhere = answering([bytes(OK)]).await;
    let [delivery, other] = sharing(3);
    assert_delivered(&delivery.attempt(&receiver.url()).await);
    receiver.closed(1).await;
    // The client finds out only when it asks for the connection, and then has its idle slot for the new one.
    assert_delivered(&delivery.attempt(&receiver.url()).await);
    assert_eq!(delivery.config.budget.sockets(), 1);
    assert_delivered(&other.attempt(&elsewhere.url()).await);
    while delivery.config.budget.sockets() > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!((receiver.requests(), receiver.connections()), (2, 2));
}

#[actix_web::test]
async fn nothing_is_connected_to_be_kept_without_a_slot() {
    let budget = ConnectionBudget::new(3);
    let wire = Wire::new(Keep::Waiting);
    let connects = async || wire.carry(async { Wire::connects(&budget) }).await;
    let slot = budget.idle_slot();
    assert!(matches!(connects().await, Err(DialError::NoIdleSlot)));
    assert!(wire.lacks_idle_slot());
    drop(slot);
    assert!(connects().await.is_ok());
    assert!(budget.idle_slot().is_none(), "the wire has it");
    drop(wire);
    assert!(budget.idle_slot().is_some());
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

#[actix_web::test]
async fn installations_of_one_service_share_connections() {
    let receiver = answering([bytes(OK), bytes(OK), bytes(OK)]).await;
    let first = Delivery::to_loopback();
    let second = Delivery::with(first.config.clone());
    for delivery in [&first, &second, &first] {
        assert_delivered(&delivery.attempt(&receiver.url()).await);
    }
    assert_eq!((receiver.requests(), receiver.connections()), (3, 1));
    drop(first);
    assert_delivered(&second.attempt(&receiver.url()).await);
    assert_eq!(receiver.connections(), 1, "the remaining installation has it");
}

#[actix_web::test]
async fn no_connection_outlives_its_last_installation() {
    let receiver = answering([bytes(OK), bytes(OK)]).await;
    let delivery = Delivery::to_loopback();
    assert_delivered(&delivery.attempt(&receiver.url()).await);
    let next = Delivery::with(delivery.config.clone());
    drop(delivery);
    assert_delivered(&next.attempt(&receiver.url()).await);
    assert_eq!(receiver.connections(), 2);
}

#[actix_web::test]
async fn an_installation_that_moves_uses_the_connections_of_its_new_service() {
    let (old, new) = (
        answering([bytes(OK)]).await,
        answering([bytes(OK), bytes(OK)]).await,
    );
    let moving = Delivery::to_loopback();
    let other = Delivery::with(moving.config.clone());
    assert_delivered(&other.attempt(&new.url()).await);
    assert_delivered(&moving.attempt(&old.url()).await);
    assert_delivered(&moving.attempt(&new.url()).await);
    assert_eq!((old.connections(), new.connections()), (1, 1));
}

#[actix_web::test]
async fn what_differs_in_its_settings_shares_nothing() {
    let receiver = answering([bytes(OK), bytes(OK)]).await;
    let (one, other) = (Delivery::to_loopback(), Delivery::to_loopback());
    assert_delivered(&one.attempt(&receiver.url()).await);
    assert_delivered(&other.attempt(&receiver.url()).await);
    assert_eq!(receiver.connections(), 2);
}
