//! Services that misbehave: each ends as a classified result, in time and in bounded memory.

use super::kit::*;

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
async fn a_closed_port_is_a_connect_error() {
    let unused = std::net::TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let result = Delivery::to_loopback().attempt(&format!("http://{unused}")).await;
    assert_retried(&result, AttemptOutcome::Connect);
}

/// More than any head may be.
const BOMB_BYTES: usize = 1 << 20;

#[actix_web::test]
async fn a_head_that_is_far_too_large_is_no_answer() {
    let value = "x".repeat(BOMB_BYTES);
    let many: String = (0..BOMB_BYTES / 16)
        .map(|number| format!("x-{number:06}: abcd\r\n"))
        .collect();
    for headers in [format!("x-bomb: {value}\r\n"), many, value] {
        let answer = format!("HTTP/1.1 200 OK\r\n{headers}\r\n");
        let receiver = answering([RawAnswer::Bytes(answer.into())]).await;
        let result = Delivery::to_loopback().attempt(&receiver.url()).await;
        assert_retried(&result, AttemptOutcome::Protocol);
        receiver.closed(1).await;
    }
}

#[actix_web::test]
async fn a_flood_of_interim_answers_is_no_answer() {
    let flood = RawAnswer::Endless {
        head: Bytes::new(),
        chunk: "HTTP/1.1 100 Continue\r\n\r\n".into(),
    };
    let receiver = answering([flood]).await;
    let result = Delivery::to_loopback().attempt(&receiver.url()).await;
    assert_retried(&result, AttemptOutcome::Protocol);
    receiver.closed(1).await;
    assert!(receiver.written() < 32 << 20, "{} bytes", receiver.written());
}

#[actix_web::test]
async fn a_body_that_trickles_is_a_delivery_after_a_second() {
    let mut parts = vec![Bytes::from("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")];
    parts.extend(std::iter::repeat_n(Bytes::from("x"), 1000));
    let pause = Duration::from_millis(50);
    let receiver = answering([RawAnswer::Slowly { parts, pause }]).await;
    let result = Delivery::to_loopback().attempt(&receiver.url()).await;
    assert_delivered(&result);
    assert!(result.response.unwrap().len() < 100);
    receiver.closed(1).await;
}

#[actix_web::test]
async fn an_abandoned_attempt_leaves_nothing_behind() {
    let receiver = answering([RawAnswer::Hang]).await;
    let delivery = Delivery::to_loopback();
    let url = receiver.url();
    {
        let attempt = std::pin::pin!(delivery.attempt(&url));
        let hanging = async {
            while receiver.requests() == 0 {
                tokio::task::yield_now().await;
            }
        };
        let hanging = std::pin::pin!(hanging);
        let either = futures_util::future::select(attempt, hanging).await;
        assert!(matches!(either, futures_util::future::Either::Right(_)));
    }
    receiver.closed(1).await;
    assert_eq!(delivery.config.budget.sockets(), 0);
}
