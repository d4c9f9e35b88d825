//! Bodies: JSON in, bounded and with errors that name the field; and the envelopes that go out.

mod decode;

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::Payload,
    error::PayloadError,
    http::header::{self, HeaderMap},
    web,
};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, future::Ready};
use serde::de::DeserializeOwned;
use std::{marker::PhantomData, pin::pin};

pub use super::answer::{accepted, created, list, success, success_with};
use super::{problem::Problem, state::AppState};
pub use decode::decode;

/// A JSON body of type `T` that has not been read yet.
///
/// The extractors of a handler run at the same time, so that one that read the body would answer 400 or 415
/// to somebody who must get 403. Decide about access first, then call [`JsonBody::read`].
pub struct JsonBody<T> {
    request: HttpRequest,
    payload: Payload,
    _type: PhantomData<fn() -> T>,
}

impl<T> std::fmt::Debug for JsonBody<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JsonBody").finish_non_exhaustive()
    }
}

impl<T: DeserializeOwned> JsonBody<T> {
    /// Reads and parses the body, up to [`super::state::HttpSettings::max_body_bytes`].
    ///
    /// # Errors
    /// 415 unless it is sent as JSON, 413 when it is too large, `MALFORMED_JSON` when it is no JSON or has a
    /// field twice, `VALIDATION_FAILED` when a field is missing or has the wrong type.
    pub async fn read(self) -> Result<T, Problem> {
        let limit = self
            .request
            .app_data::<web::Data<AppState>>()
            .ok_or_else(|| Problem::internal("no AppState in this App"))?
            .settings
            .max_body_bytes;
        let body = read_body(&self.request, self.payload, limit).await?;
        decode(&body)
    }
}

impl<T: 'static> FromRequest for JsonBody<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        futures_util::future::ok(Self {
            request: request.clone(),
            payload: payload.take(),
            _type: PhantomData,
        })
    }
}

/// Reads a JSON body as it was sent, at most `limit` bytes. A larger one is refused as soon as that is
/// known: by its `Content-Length`, or when a chunk goes over the limit.
///
/// # Errors
/// 415 unless it is sent as JSON, 413 over the limit, `MALFORMED_JSON` when it ends early.
pub async fn read_body<P>(request: &HttpRequest, payload: P, limit: usize) -> Result<Bytes, Problem>
where
    P: Stream<Item = Result<Bytes, PayloadError>>,
{
    if !is_json(request) {
        return Err(Problem::unsupported_media_type());
    }
    let announced = content_length(request.headers());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(Problem::payload_too_large(limit));
    }
    let mut payload = pin!(payload);
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Problem::malformed_json("the body ended early"))?;
        if body.len() + chunk.len() > limit {
            return Err(Problem::payload_too_large(limit));
        }
        // The usual body is one chunk, which needs no copy.
        if body.is_empty() && announced == Some(chunk.len() as u64) {
            return Ok(chunk);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn is_json(request: &HttpRequest) -> bool {
    let encoded = request
        .headers()
        .get(header::CONTENT_ENCODING)
        .is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
    !encoded && request.content_type().eq_ignore_ascii_case("application/json")
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use futures_util::stream;

    use super::*;

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

    async fn code_of(request: TestRequest, parts: &[&'static str], limit: usize) -> &'static str {
        match read_body(&request.to_http_request(), chunks(parts), limit).await {
            Ok(_) => "SUCCESS",
            Err(problem) => problem.code(),
        }
    }

    #[actix_web::test]
    async fn a_chunked_body_is_put_together() {
        let body = read_body(&json().to_http_request(), chunks(&["{\"a\":", "1}"]), 7).await;
        assert_eq!(body.unwrap(), "{\"a\":1}");
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
        assert_eq!(
            code_of(with("application/json; charset=utf-8"), &["{}"], 9).await,
            "SUCCESS"
        );
        assert_eq!(code_of(with("Application/JSON"), &["{}"], 9).await, "SUCCESS");
        assert_eq!(
            code_of(with("text/plain"), &["{}"], 9).await,
            "UNSUPPORTED_MEDIA_TYPE"
        );
        assert_eq!(
            code_of(TestRequest::post(), &["{}"], 9).await,
            "UNSUPPORTED_MEDIA_TYPE"
        );
        let zipped = json().insert_header(("content-encoding", "gzip"));
        assert_eq!(code_of(zipped, &["{}"], 9).await, "UNSUPPORTED_MEDIA_TYPE");
    }

    #[actix_web::test]
    async fn a_body_that_breaks_off_is_malformed() {
        let broken = stream::iter([Err(PayloadError::Incomplete(None))]);
        let problem = read_body(&json().to_http_request(), broken, 9).await.unwrap_err();
        assert_eq!(problem.code(), "MALFORMED_JSON");
    }
}
