use actix_web::test::TestRequest;
use futures_util::{FutureExt as _, stream};

use super::*;

fn intake(max_bytes: usize) -> Intake {
    Intake::new(max_bytes, 100, Duration::from_secs(10), Clock)
}

fn chunks(parts: &[&'static str]) -> impl Stream<Item = Result<Bytes, PayloadError>> + use<> {
    let parts: Vec<_> = parts
        .iter()
        .map(|part| Ok(Bytes::from_static(part.as_bytes())))
        .collect();
    stream::iter(parts)
}

fn json() -> TestRequest {
    TestRequest::post().insert_header(("content-type", "application/json"))
}

async fn code_of(request: TestRequest, parts: &[&'static str], max_bytes: usize) -> &'static str {
    let read = intake(max_bytes)
        .read(&request.to_http_request(), chunks(parts))
        .await;
    read.map_or_else(|problem| problem.code(), |_| "SUCCESS")
}

#[actix_web::test]
async fn a_chunked_body_is_put_together() {
    let request = json().to_http_request();
    let body = intake(7).read(&request, chunks(&["{\"a\":", "1}"])).await;
    assert_eq!(&*body.unwrap(), b"{\"a\":1}");
}

#[actix_web::test]
async fn a_body_over_the_limit_is_refused_with_and_without_its_length() {
    assert_eq!(code_of(json(), &["{\"a\":", "1}"], 6).await, "PAYLOAD_TOO_LARGE");
    let announced = json().insert_header(("content-length", "7"));
    assert_eq!(code_of(announced, &[], 6).await, "PAYLOAD_TOO_LARGE");
}

#[actix_web::test]
async fn only_plain_json_is_taken() {
    let with = |value: &'static str| TestRequest::post().insert_header(("content-type", value));
    for (request, expected) in [
        (with("application/json; charset=utf-8"), "SUCCESS"),
        (with("Application/JSON"), "SUCCESS"),
        (with("text/plain"), "UNSUPPORTED_MEDIA_TYPE"),
        (TestRequest::post(), "UNSUPPORTED_MEDIA_TYPE"),
        (
            json().insert_header(("content-encoding", "gzip")),
            "UNSUPPORTED_MEDIA_TYPE",
        ),
    ] {
        assert_eq!(code_of(request, &["{}"], 9).await, expected);
    }
}

#[actix_web::test]
async fn a_body_that_breaks_off_is_malformed() {
    let broken = stream::iter([Err(PayloadError::Incomplete(None))]);
    let read = intake(9).read(&json().to_http_request(), broken).await;
    assert_eq!(read.unwrap_err().code(), "MALFORMED_JSON");
}

#[actix_web::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let impatient = Intake::new(9, 9, Duration::ZERO, Clock);
    let silent = stream::pending();
    let read = impatient.read(&json().to_http_request(), silent).await;
    let problem = read.unwrap_err();
    assert_eq!(problem.code(), "MALFORMED_JSON");
    assert!(problem.to_string().contains("too slowly"));
}

#[actix_web::test]
async fn bodies_are_bounded_in_all_by_what_has_arrived_of_them() {
    let intake = intake(60);
    let request = json().insert_header(("content-length", "60")).to_http_request();
    let sixty = Bytes::from(vec![b' '; 60]);
    let whole = || stream::iter([Ok(sixty.clone())]);

    // One that is announced and of which ten bytes have come.
    let ten = stream::iter([Ok(sixty.slice(..10))]).chain(stream::pending());
    let mut waiting = Box::pin(intake.read(&request, ten));
    assert!(waiting.as_mut().now_or_never().is_none());

    let held = intake.read(&request, whole()).await.unwrap();
    let refused = intake.read(&request, whole()).await.unwrap_err();
    assert_eq!(refused.code(), "OVERLOADED");
    drop(held);
    assert!(intake.read(&request, whole()).await.is_ok());
    drop(waiting);
    assert_eq!(intake.budget.held(), 0);
}
