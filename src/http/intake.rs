//! Reading the bodies of requests, with bounds on their size, their total size and their time.

use std::{
    ops::Deref,
    pin::{Pin, pin},
    time::{Duration, Instant},
};

use actix_web::{
    HttpMessage as _, HttpRequest,
    error::PayloadError,
    http::header::{self, HeaderMap},
};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use tokio::time::timeout_at;

use super::{
    budget::{ByteBudget, ByteShare},
    connections::{LAST_LOOK, MinimumRate},
    problem::Problem,
};
use pointsman_clock::Clock;

/// Reads bodies; one for the process.
#[derive(Debug)]
pub struct Intake {
    /// The largest body, in bytes.
    max_bytes: usize,
    /// The initial time for a body.
    client_timeout: Duration,
    budget: ByteBudget,
    clock: Clock,
}

/// A body as it was sent. It counts as held until it is dropped.
#[derive(Debug)]
pub struct Body {
    bytes: Bytes,
    _share: ByteShare,
}

impl Body {
    fn new(bytes: Bytes, share: ByteShare) -> Self {
        Self { bytes, _share: share }
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Intake {
    /// `max_bytes` of one body and `max_bytes_in_all` of all together.
    pub fn new(max_bytes: usize, max_bytes_in_all: usize, client_timeout: Duration, clock: Clock) -> Self {
        Self {
            max_bytes,
            client_timeout,
            budget: ByteBudget::new(max_bytes_in_all),
            clock,
        }
    }

    /// Reads a JSON body as it was sent. One that is too large is refused as soon as that is known: by its
    /// `Content-Length`, or when a chunk goes over the limit. Only bytes that have arrived count as held, so that
    /// announcing a large body takes nothing from other requests.
    ///
    /// # Errors
    /// 415 unless it is sent as JSON, 413 over the limit, `MALFORMED_JSON` when it ends early or arrives too
    /// slowly, `OVERLOADED` when too much is arriving elsewhere.
    pub async fn read<P>(&self, request: &HttpRequest, payload: P) -> Result<Body, Problem>
    where
        P: Stream<Item = Result<Bytes, PayloadError>>,
    {
        if !is_json(request) {
            return Err(Problem::unsupported_media_type());
        }
        let announced = content_length(request.headers());
        if announced.is_some_and(|length| length > self.max_bytes as u64) {
            return Err(Problem::payload_too_large(self.max_bytes));
        }
        self.collect(pin!(payload), announced).await
    }

    async fn collect<P>(&self, mut payload: Pin<&mut P>, announced: Option<u64>) -> Result<Body, Problem>
    where
        P: Stream<Item = Result<Bytes, PayloadError>>,
    {
        let mut share = self.budget.share();
        let mut rate = MinimumRate::begin(self.clock.instant(), self.client_timeout);
        let mut body = BytesMut::new();
        loop {
            let Some(chunk) = self.next_chunk(payload.as_mut(), rate.deadline()).await? else {
                return Ok(Body::new(body.freeze(), share));
            };
            let chunk = chunk.map_err(|_| Problem::malformed_json("the body ended early"))?;
            if body.len() + chunk.len() > self.max_bytes {
                return Err(Problem::payload_too_large(self.max_bytes));
            }
            if !share.grow(chunk.len()) {
                return Err(Problem::too_many_bodies());
            }
            rate.passed(chunk.len());
            // The usual body is one chunk, which needs no copy.
            if body.is_empty() && announced == Some(chunk.len() as u64) {
                return Ok(Body::new(chunk, share));
            }
            body.extend_from_slice(&chunk);
        }
    }

    async fn next_chunk<P: Stream>(
        &self,
        mut payload: Pin<&mut P>,
        deadline: Instant,
    ) -> Result<Option<P::Item>, Problem> {
        if let Ok(next) = timeout_at(deadline.into(), payload.next()).await {
            return Ok(next);
        }
        let last = self.clock.instant() + LAST_LOOK;
        timeout_at(last.into(), payload.next())
            .await
            .map_err(|_| Problem::malformed_json(TOO_SLOW))
    }
}

const TOO_SLOW: &str = "the body arrived too slowly and was not waited for";

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
mod tests;
