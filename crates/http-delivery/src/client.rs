//! The HTTP client of one external installation.

use std::{cell::RefCell, fmt, rc::Rc, time::Duration};

use awc::{
    ClientRequest, ClientResponse,
    error::SendRequestError,
    http::{
        StatusCode, Version,
        header::{
            CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue as Value,
            TRANSFER_ENCODING, USER_AGENT,
        },
    },
};
use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::{
    budget::{ConnectionPermit, Share},
    classify::{self, Classified},
    config::ExternalClientConfig,
    pool::{Lease, Pool},
    stream::{Keep, Wire},
    target::DeliveryTarget,
};
use pointsman_clock::Clock;
use pointsman_domain::{
    attempt::AttemptResult, event::PlatformEvent, id::InstallationId, timestamp::Timestamp,
};

/// How long, and how many bytes of, the body of an answer are read once the head has decided the verdict.
const BODY_TIME: Duration = Duration::from_secs(1);
const BODY_BYTES: usize = 64 * 1024;
/// How much of it is kept.
const EXCERPT_BYTES: usize = 1024;

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const CAUSATION_ID: HeaderName = HeaderName::from_static("pointsman-causation-id");
const CORRELATION_ID: HeaderName = HeaderName::from_static("pointsman-correlation-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Delivers to one installation, over the connections that its thread has to the service. Neither `Send` nor shared:
/// it lives in one `ExternalDeliveryActor` and must be used and dropped on an actix arbiter.
pub struct ExternalClient {
    config: ExternalClientConfig,
    installation: InstallationId,
    /// The pool of the latest target.
    pool: RefCell<Option<Rc<Pool>>>,
}

impl ExternalClient {
    pub fn new(config: &ExternalClientConfig, installation: InstallationId) -> Self {
        Self {
            config: config.clone(),
            installation,
            pool: RefCell::default(),
        }
    }

    /// Waits until the installation may use one more connection. Take the permit before an attempt and hold it until
    /// the attempt ends: the wait is no part of the attempt and of its time-out.
    pub async fn connection_permit(&self, share: Share) -> ConnectionPermit {
        let holder = match share {
            Share::Installation => self.installation,
            Share::Tests => InstallationId::new(uuid::Uuid::nil()),
        };
        self.config.budget.permit(holder).await
    }

    /// Makes one attempt. Never fails: every end is a classified result. It takes at most
    /// [`ExternalClientConfig::timeout`] until the head of the answer, and then at most 1 s for the body,
    /// which cannot change the verdict.
    pub async fn attempt(
        &self,
        target: &DeliveryTarget,
        event: &PlatformEvent,
        clock: Clock,
    ) -> AttemptResult {
        let start = clock.instant();
        let pool = self.pool(target);
        let sent = timeout(self.config.timeout, self.send(&pool, target, event, clock)).await;
        let duration = clock.elapsed(start);
        let result = match sent {
            Ok(Ok((response, lease))) => answered(&pool, response, lease, duration, clock.wall()).await,
            Ok(Err(error)) => result(classify::error(&error), None, duration, None),
            Err(_) => result(classify::timed_out(), None, duration, None),
        };
        pool.used(clock);
        result
    }

    /// The connections for deliveries to the target.
    fn pool(&self, target: &DeliveryTarget) -> Rc<Pool> {
        let mut pool = self.pool.borrow_mut();
        if let Some(pool) = pool.as_ref().filter(|pool| pool.is_of(target)) {
            return Rc::clone(pool);
        }
        Rc::clone(pool.insert(Pool::of(&self.config, target)))
    }

    /// The head of the answer.
    ///
    /// A kept connection may turn out to be closed after its idle slot has gone to another installation. Nothing was
    /// sent then, and the next connection is not kept.
    ///
    /// A service may close a connection at the moment at which a delivery is sent on it. Where the connection had
    /// served before and nothing came back, the delivery is sent once more, on a new connection. If the service took
    /// the first one all the same, it recognises the second by its `webhook-id`.
    async fn send(
        &self,
        pool: &Pool,
        target: &DeliveryTarget,
        event: &PlatformEvent,
        clock: Clock,
    ) -> Result<(ClientResponse, Lease), SendRequestError> {
        let mut lease = pool.lease();
        let keep = pool.keep(&mut lease);
        let (wire, sent) = self.send_on(&lease, keep, target, event, clock).await;
        let keep = match sent {
            Err(_) if wire.lacks_idle_slot() => Keep::Not,
            Err(error) if wire.is_reused_and_silent() && classify::is_lost_connection(&error) => {
                lease = pool.renew();
                pool.keep(&mut lease)
            }
            sent => return Ok((sent?, lease)),
        };
        let (_, sent) = self.send_on(&lease, keep, target, event, clock).await;
        Ok((sent?, lease))
    }

    async fn send_on(
        &self,
        lease: &Lease,
        keep: Keep,
        target: &DeliveryTarget,
        event: &PlatformEvent,
        clock: Clock,
    ) -> (Rc<Wire>, Result<ClientResponse, SendRequestError>) {
        let body = event.delivery_body();
        let mut request = self.request(lease, target, event, &body, clock.wall());
        if matches!(keep, Keep::Not) {
            request = request.force_close();
        }
        let wire = Wire::new(keep);
        let sent = wire.carry(request.send_body(body)).await;
        (wire, sent)
    }

    fn request(
        &self,
        lease: &Lease,
        target: &DeliveryTarget,
        event: &PlatformEvent,
        body: &[u8],
        now: Timestamp,
    ) -> ClientRequest {
        let mut request = lease.client.post(target.dial.clone());
        let headers = request.headers_mut();
        for (name, value) in &target.headers {
            headers.append(name.clone(), value.clone());
        }
        headers.insert(HOST, target.host.clone());
        headers.insert(CONTENT_TYPE, Value::from_static("application/json"));
        headers.insert(USER_AGENT, self.config.user_agent.clone());
        let seconds = now.seconds();
        let causation = event
            .cause
            .map(|cause| (CAUSATION_ID, cause.causation_id.to_string()));
        for (name, text) in [
            (WEBHOOK_ID, event.id.to_string()),
            (WEBHOOK_TIMESTAMP, seconds.to_string()),
            (WEBHOOK_SIGNATURE, target.keys.sign(event.id, seconds, body)),
            (CORRELATION_ID, event.correlation_id().to_string()),
        ]
        .into_iter()
        .chain(causation)
        {
            headers.insert(
                name,
                Value::try_from(text).expect("ids, numbers and base64 are visible ASCII"),
            );
        }
        // A trace context that is not a valid header value is left out.
        if let Some(Ok(value)) = event.traceparent.as_deref().map(Value::from_str) {
            headers.insert(TRACEPARENT, value);
        }
        request
    }
}

async fn answered(
    pool: &Pool,
    mut response: ClientResponse,
    lease: Lease,
    duration: Duration,
    now: Timestamp,
) -> AttemptResult {
    let status = response.status();
    let classified = classify::head(status, response.headers(), now);
    let excerpt = read_excerpt(&mut response).await;
    if !is_reusable(&response) {
        // `awc` has put the connection back into its pool. What still comes on it would be taken for the answer to the
        // next delivery, and only a new pool gets rid of it.
        pool.discard(&lease);
    }
    result(classified, Some(status), duration, excerpt)
}

impl fmt::Debug for ExternalClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalClient")
            .field("config", &self.config)
            .field("installation", &self.installation)
            .finish_non_exhaustive()
    }
}

/// Whether the connection can carry another request. `awc` takes a change of protocol for an answer, an
/// HTTP/1.1 answer without a length for one without a body, and HTTP/1.0 for persistent.
fn is_reusable(response: &ClientResponse) -> bool {
    let (status, headers) = (response.status(), response.headers());
    if status.is_informational() {
        return false;
    }
    if response.version() < Version::HTTP_11 {
        return headers
            .get(CONNECTION)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"keep-alive"));
    }
    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    bodiless || headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING)
}

/// The beginning of the body, as far as it arrives within the bounds. If a part is left unread, the connection is
/// closed when the response is dropped.
async fn read_excerpt(response: &mut ClientResponse) -> Option<String> {
    let mut kept = Vec::new();
    let reading = async {
        let mut read = 0;
        while let Some(Ok(chunk)) = response.next().await {
            let room = EXCERPT_BYTES - kept.len();
            kept.extend_from_slice(&chunk[..room.min(chunk.len())]);
            read += chunk.len();
            if read > BODY_BYTES {
                break;
            }
        }
    };
    // The verdict stands already; an unfinished body is no error.
    let _ = timeout(BODY_TIME, reading).await;
    (!kept.is_empty()).then(|| String::from_utf8_lossy(&kept).into_owned())
}

fn result(
    classified: Classified,
    status: Option<StatusCode>,
    duration: Duration,
    response: Option<String>,
) -> AttemptResult {
    AttemptResult {
        outcome: classified.outcome,
        verdict: classified.verdict,
        http_status: status.map(|status| status.as_u16()),
        duration,
        error: classified.error,
        response,
        disable: classified.disable,
        retry_schedule: None,
    }
}
