//! The HTTP server of a receiver.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::{Server, ServerHandle},
    http::StatusCode,
    web::{self, Data, PayloadConfig},
};
use bytes::Bytes;
use tokio::sync::Notify;

use super::{
    behavior::Behavior,
    received::{Received, SignatureCheck, check_signature},
};
use pointsman_clock::Clock;
use pointsman_domain::signing::{SigningKeys, SigningSecret};

/// More than any delivery can be.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Is called for each delivery at its arrival, with the status of the answer; `None` where it hangs.
pub type Observer = dyn Fn(&Received, Option<u16>) + Send + Sync;

/// How to start a [`Receiver`].
#[derive(Clone)]
pub struct ReceiverOptions {
    /// Port 0 takes a free one.
    pub address: SocketAddr,
    pub workers: usize,
    pub behavior: Behavior,
    /// Keep every delivery. Without it they are only counted, for load tests.
    pub recording: bool,
    /// Check signatures with this secret.
    pub secret: Option<SigningSecret>,
    /// Answer 401 to deliveries without a valid signature, as a service has to. Without it they are only recorded, for
    /// tests.
    pub refuse_unsigned: bool,
    pub observer: Option<Arc<Observer>>,
}

impl Default for ReceiverOptions {
    /// Listens on a free port of 127.0.0.1, records every delivery and answers it with 200.
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            workers: 1,
            behavior: Behavior::default(),
            recording: true,
            secret: None,
            refuse_unsigned: false,
            observer: None,
        }
    }
}

impl fmt::Debug for ReceiverOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiverOptions")
            .field("address", &self.address)
            .field("recording", &self.recording)
            .finish_non_exhaustive()
    }
}

/// A running external service. It stops when dropped.
pub struct Receiver {
    address: SocketAddr,
    state: Arc<State>,
    handle: ServerHandle,
}

impl Receiver {
    /// Starts a receiver with the default options.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start() -> io::Result<Self> {
        Self::start_with(ReceiverOptions::default()).await
    }

    /// Starts a receiver with these options.
    ///
    /// # Errors
    /// When it cannot listen on the address.
    pub async fn start_with(options: ReceiverOptions) -> io::Result<Self> {
        let (state, address, server) = bind(options, false)?;
        let handle = server.handle();
        tokio::spawn(server);
        Ok(Self {
            address,
            state,
            handle,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The service base URL: deliveries go to `{url}/events`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the behaviour for deliveries that arrive from now on; `fail_first` counts from now.
    pub fn behave(&self, behavior: Behavior) {
        let mut current = lock(&self.state.behavior);
        *current = (Arc::new(behavior), 0);
    }

    /// Checks signatures with this secret from now on. A test often knows the secret only after the receiver's address.
    pub fn expect_signed_with(&self, secret: &SigningSecret) {
        *lock(&self.state.keys) = Some(Arc::new(SigningKeys::new(secret, None)));
    }

    /// Deliveries that have arrived so far, repeats included.
    pub fn count(&self) -> u64 {
        self.state.count.load(Ordering::Acquire)
    }

    /// Waits until at least `count` deliveries have arrived.
    pub async fn arrived(&self, count: u64) {
        self.state.arrived(count).await;
    }

    /// Waits until at least `count` deliveries have arrived, and returns all deliveries so far in the order of their
    /// arrival. The list is empty if the receiver does not record.
    pub async fn received(&self, count: u64) -> Vec<Received> {
        self.state.arrived(count).await;
        lock(&self.state.recorded).clone()
    }

    /// Waits for the first delivery and returns it; `None` if the receiver does not record.
    pub async fn received_one(&self) -> Option<Received> {
        self.received(1).await.into_iter().next()
    }

    /// Stops listening and drops open connections. The port is free when it returns.
    pub async fn stop(self) {
        self.handle.stop(false).await;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // The call sends the command; the future only waits for its end.
        drop(self.handle.stop(false));
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// What the workers share.
pub(super) struct State {
    /// The behaviour and how many deliveries have arrived under it.
    behavior: Mutex<(Arc<Behavior>, u64)>,
    keys: Mutex<Option<Arc<SigningKeys>>>,
    recording: bool,
    refuse_unsigned: bool,
    observer: Option<Arc<Observer>>,
    recorded: Mutex<Vec<Received>>,
    count: AtomicU64,
    arrival: Notify,
    clock: Clock,
}

impl State {
    fn new(options: ReceiverOptions) -> Self {
        let keys = options
            .secret
            .map(|secret| Arc::new(SigningKeys::new(&secret, None)));
        Self {
            behavior: Mutex::new((Arc::new(options.behavior), 0)),
            keys: Mutex::new(keys),
            recording: options.recording,
            refuse_unsigned: options.refuse_unsigned,
            observer: options.observer,
            recorded: Mutex::new(Vec::new()),
            count: AtomicU64::new(0),
            arrival: Notify::new(),
            clock: Clock,
        }
    }

    async fn arrived(&self, count: u64) {
        loop {
            // Registered before the counter is read, so that no arrival between the two is missed.
            let mut arrival = std::pin::pin!(self.arrival.notified());
            arrival.as_mut().enable();
            if self.count.load(Ordering::Acquire) >= count {
                return;
            }
            arrival.await;
        }
    }

    /// The behaviour for one more delivery with this body, and the status of its answer.
    fn next_behavior(&self, body: &[u8]) -> (Arc<Behavior>, u16) {
        let mut current = lock(&self.behavior);
        current.1 += 1;
        (Arc::clone(&current.0), current.0.status_of(current.1, body))
    }

    /// The check of the signature; `None` where its result is not used.
    fn check(&self, request: &HttpRequest, body: &[u8]) -> Option<SignatureCheck> {
        let asked = self.recording || self.observer.is_some() || self.refuse_unsigned;
        asked.then(|| {
            let keys = lock(&self.keys).clone();
            check_signature(keys.as_deref(), request.headers(), body, self.clock.wall())
        })
    }

    fn take(
        &self,
        request: &HttpRequest,
        body: Bytes,
        signature: Option<SignatureCheck>,
        answer: Option<u16>,
    ) {
        if let Some(signature) = signature {
            let headers = request.headers().clone();
            let mut recorded = lock(&self.recorded);
            let number = self.count.fetch_add(1, Ordering::AcqRel) + 1;
            let received = Received {
                number,
                headers,
                body,
                signature,
            };
            if let Some(observer) = &self.observer {
                observer(&received, answer);
            }
            if self.recording {
                recorded.push(received);
            }
        } else {
            self.count.fetch_add(1, Ordering::AcqRel);
        }
        self.arrival.notify_waiters();
    }
}

/// Ignores poisoning: no code panics between two changes under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Listens. The server runs once it is awaited or spawned. With `signals` it stops on Ctrl-C and SIGTERM.
pub(super) fn bind(options: ReceiverOptions, signals: bool) -> io::Result<(Arc<State>, SocketAddr, Server)> {
    let (address, workers) = (options.address, options.workers);
    let state = Arc::new(State::new(options));
    let shared = Data::from(Arc::clone(&state));
    let mut server = HttpServer::new(move || {
        App::new()
            .app_data(shared.clone())
            .app_data(PayloadConfig::new(MAX_BODY_BYTES))
            .route("/events", web::post().to(take_delivery))
    })
    .workers(workers)
    .shutdown_timeout(1)
    .bind(address)
    .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
    if !signals {
        server = server.disable_signals();
    }
    let bound = server.addrs().first().copied().unwrap_or(address);
    Ok((state, bound, server.run()))
}

async fn take_delivery(state: Data<State>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let signature = state.check(&request, &body);
    if let Some(why) = signature.filter(|_| state.refuse_unsigned).and_then(refusal) {
        state.take(&request, body, signature, Some(StatusCode::UNAUTHORIZED.as_u16()));
        return HttpResponse::Unauthorized().body(why);
    }
    let (behavior, status) = state.next_behavior(&body);
    state.take(&request, body, signature, (!behavior.hang).then_some(status));
    if behavior.hang {
        std::future::pending::<()>().await;
    }
    if behavior.delay > Duration::ZERO {
        actix_web::rt::time::sleep(behavior.delay).await;
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = HttpResponse::build(status);
    for (name, value) in &behavior.headers {
        answer.append_header((name.as_str(), value.as_str()));
    }
    answer.body(behavior.body.clone())
}

/// Why a delivery is refused; `None` where it is not.
fn refusal(signature: SignatureCheck) -> Option<String> {
    match signature {
        SignatureCheck::NotChecked | SignatureCheck::Valid => None,
        SignatureCheck::Missing => {
            Some("webhook-id, webhook-timestamp and webhook-signature are needed, once each".to_owned())
        }
        SignatureCheck::Invalid(error) => Some(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
