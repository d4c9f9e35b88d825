//! What an answer means.

use super::kit::*;

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
    assert_eq!(kept, "a\0b".to_owned() + &"x".repeat(1021));
}

#[actix_web::test]
async fn a_redirect_to_itself_is_one_request() {
    let receiver = Receiver::start().await.unwrap();
    for status in [301, 302, 303, 307, 308] {
        receiver.behave(Behavior::status(status).with_header("location", "/events"));
        let result = Delivery::to_loopback().attempt(&receiver.url()).await;
        assert_retried(&result, AttemptOutcome::Http3xx);
    }
    assert_eq!(receiver.count(), 5);
}

#[actix_web::test]
async fn a_wish_for_a_later_time_is_bounded_and_nonsense_is_no_wish() {
    let receiver = Receiver::start().await.unwrap();
    let day = Some(Duration::from_secs(24 * 60 * 60));
    for (wish, expected) in [
        ("31536000", day),
        ("Thu, 01 Jan 2099 00:00:00 GMT", day),
        ("Thu, 01 Jan 1970 00:00:00 GMT", Some(Duration::ZERO)),
        ("-5", None),
        ("in a while", None),
        ("1e9", None),
    ] {
        receiver.behave(Behavior::status(503).with_header("retry-after", wish));
        let result = Delivery::to_loopback().attempt(&receiver.url()).await;
        assert_eq!(
            result.verdict,
            Verdict::Retry {
                retry_after: expected
            },
            "{wish}"
        );
    }
}
