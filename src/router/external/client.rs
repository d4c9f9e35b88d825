//! The HTTP client of one external installation.

use std::{cell::RefCell, fmt, sync::Arc, time::Duration};

use awc::{
    Client, ClientRequest, ClientResponse, Connector,
    http::{
        StatusCode, Version,
        header::{
            CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue as Value,
            TRANSFER_ENCODING, USER_AGENT,
        },
    },
};
use futures_util::StreamExt as _;
use ipnet::IpNet;
use tokio::time::timeout;

use super::{
    classify::{self, Classified},
    connector::CheckedConnector,
    resolver::BoundedResolver,
    target::DeliveryTarget,
};
use crate::{
    clock::Clock,
    domain::{
        address_policy::AddressPolicy, attempt::AttemptResult, event::PlatformEvent, timestamp::Timestamp,
    },
};

/// Shorter than the 5 s after which many servers close an idle connection, so that a request seldom meets
/// a connection that is just being closed.
const KEEP_ALIVE: Duration = Duration::from_secs(4);
/// How long, and how far, the body of an answer is read once its head has decided.
const BODY_TIME: Duration = Duration::from_secs(1);
const BODY_BYTES: usize = 64 * 1024;
/// How much of it is kept.
const EXCERPT_BYTES: usize = 1024;

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What all external clients share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ExternalClientConfig {
    /// From the name look-up to the complete head of the answer.
    pub timeout: Duration,
    /// Networks beyond the public Internet that deliveries may reach.
    pub allow_networks: Arc<[IpNet]>,
    pub resolver: Arc<BoundedResolver>,
    pub tls: Arc<rustls::ClientConfig>,
    pub user_agent: Value,
    /// What is called instead of any service.
    #[cfg(test)]
    pub(crate) simulated: Option<Arc<dyn super::SimulatedService>>,
}

impl ExternalClientConfig {
    /// With the system's resolver, the public certificate authorities and Pointsman's own `User-Agent`.
    pub fn new(timeout: Duration, allow_networks: Arc<[IpNet]>, clock: Clock) -> Self {
        Self {
            timeout,
            allow_networks,
            resolver: Arc::new(BoundedResolver::system(clock)),
            tls: tls_config(),
            user_agent: Value::from_static(concat!("Pointsman/", env!("CARGO_PKG_VERSION"))),
            #[cfg(test)]
            simulated: None,
        }
    }
}

/// TLS with the Mozilla root certificates and HTTP/1.1 only: with HTTP/2 one connection would carry all
/// deliveries, and `awc` could not close it for one of them.
pub fn tls_config() -> Arc<rustls::ClientConfig> {
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let mut config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring supports the protocol versions that rustls takes for safe")
            .with_root_certificates(roots)
            .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Delivers to one installation, over connections of its own. Neither `Send` nor shared: it lives in one
/// `ExternalDeliveryActor` and must be used and dropped on an actix arbiter.
pub struct ExternalClient {
    config: ExternalClientConfig,
    client: RefCell<Client>,
}

impl ExternalClient {
    pub fn new(config: &ExternalClientConfig) -> Self {
        Self {
            config: config.clone(),
            client: RefCell::new(build_client(config)),
        }
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
        let body = event.delivery_body();
        let sending = self.request(target, event, &body, clock.wall()).send_body(body);
        let sent = timeout(self.config.timeout, sending).await;
        let duration = clock.elapsed(start);
        match sent {
            Ok(Ok(response)) => self.answered(response, duration, clock.wall()).await,
            Ok(Err(error)) => result(classify::error(&error), None, duration, None),
            Err(_) => result(classify::timed_out(), None, duration, None),
        }
    }

    fn request(
        &self,
        target: &DeliveryTarget,
        event: &PlatformEvent,
        body: &[u8],
        now: Timestamp,
    ) -> ClientRequest {
        let mut request = self.client.borrow().post(target.url.clone());
        let headers = request.headers_mut();
        for (name, value) in &target.headers {
            headers.append(name.clone(), value.clone());
        }
        headers.insert(HOST, target.host.clone());
        headers.insert(CONTENT_TYPE, Value::from_static("application/json"));
        headers.insert(USER_AGENT, self.config.user_agent.clone());
        let seconds = now.seconds();
        for (name, text) in [
            (WEBHOOK_ID, event.id.to_string()),
            (WEBHOOK_TIMESTAMP, seconds.to_string()),
            (WEBHOOK_SIGNATURE, target.keys.sign(event.id, seconds, body)),
        ] {
            headers.insert(
                name,
                Value::try_from(text).expect("ids, numbers and base64 are visible ASCII"),
            );
        }
        // A publisher's trace context that is no header value is of no use to anybody.
        if let Some(Ok(value)) = event.traceparent.as_deref().map(Value::from_str) {
            headers.insert(TRACEPARENT, value);
        }
        request
    }

    async fn answered(
        &self,
        mut response: ClientResponse,
        duration: Duration,
        now: Timestamp,
    ) -> AttemptResult {
        let status = response.status();
        let classified = classify::head(status, response.headers(), now);
        let excerpt = read_excerpt(&mut response).await;
        if !is_reusable(&response) {
            // `awc` has put the connection back into its pool, where what is still to come on it would be
            // taken for the answer to the next delivery. Only a new pool gets rid of it.
            self.client.replace(build_client(&self.config));
        }
        result(classified, Some(status), duration, excerpt)
    }
}

impl fmt::Debug for ExternalClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalClient")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

fn build_client(config: &ExternalClientConfig) -> Client {
    let dial = CheckedConnector {
        policy: AddressPolicy::new(Arc::clone(&config.allow_networks)),
        resolver: Arc::clone(&config.resolver),
        connect_timeout: config.timeout,
    };
    let connector = Connector::new()
        .connector(dial)
        .rustls_0_23(Arc::clone(&config.tls))
        // The lane bounds how many are in flight; a wait inside the pool would count as the service's time.
        .limit(0)
        .timeout(config.timeout)
        .handshake_timeout(config.timeout)
        .conn_keep_alive(KEEP_ALIVE);
    Client::builder()
        .connector(connector)
        .disable_timeout()
        .disable_redirects()
        .no_default_headers()
        .finish()
}

/// Whether the connection can carry another request. `awc` takes an interim answer for the final one, an
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

/// The beginning of the body, as far as it comes within the bounds. Whatever is left unread closes the
/// connection when the response is dropped.
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
    // PostgreSQL takes no NUL in a text.
    (!kept.is_empty()).then(|| String::from_utf8_lossy(&kept).replace('\0', "\u{fffd}"))
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
    }
}
