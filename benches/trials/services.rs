//! Services that deliveries go to, on threads of their own.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use pointsman_clock::Clock;
use pointsman_receive::{Behavior, RawAnswer, RawReceiver, Receiver, ReceiverOptions};

use crate::{load::Departures, report::Sample};

/// More events than this out of order cannot come from deliveries that are in flight together.
const WINDOW: u64 = 256;

/// Takes everything, and knows how late it came and in which order.
pub(crate) struct Watching {
    receiver: Receiver,
    state: Arc<State>,
}

struct State {
    departures: Arc<Departures>,
    latencies: Mutex<Sample>,
    furthest: AtomicU64,
    out_of_order: AtomicU64,
}

impl Watching {
    pub(crate) async fn start(departures: Arc<Departures>) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), departures).await
    }

    pub(crate) async fn start_at(address: SocketAddr, departures: Arc<Departures>) -> Self {
        let state = Arc::new(State {
            departures,
            latencies: Mutex::default(),
            furthest: AtomicU64::new(0),
            out_of_order: AtomicU64::new(0),
        });
        let observed = Arc::clone(&state);
        let options = ReceiverOptions {
            address,
            behavior: Behavior::default(),
            recording: false,
            observer: Some(Arc::new(move |received, _| observed.arrived(&received.body))),
            ..ReceiverOptions::default()
        };
        let receiver = Receiver::start_with(options)
            .await
            .expect("the port can be listened on");
        Self { receiver, state }
    }

    pub(crate) fn url(&self) -> String {
        self.receiver.url()
    }

    pub(crate) fn count(&self) -> u64 {
        self.receiver.count()
    }

    /// Events that came more than a window behind a later one.
    pub(crate) fn out_of_order(&self) -> u64 {
        self.state.out_of_order.load(Ordering::Acquire)
    }

    /// The latencies since the last time that they were taken.
    pub(crate) fn take_latencies(&self) -> Sample {
        std::mem::take(
            &mut *self
                .state
                .latencies
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Waits until so many deliveries have come, but not longer than this; how many came in which time.
    pub(crate) async fn rate(&self, count: u64, at_most: Duration) -> Rate {
        let (start, before) = (Clock.instant(), self.count());
        let _ = tokio::time::timeout(at_most, self.receiver.arrived(before + count)).await;
        Rate::since(start, self.count() - before)
    }

    pub(crate) async fn arrived(&self, count: u64) {
        self.receiver.arrived(count).await;
    }
}

impl State {
    fn arrived(&self, body: &[u8]) {
        const MARK: &[u8] = b"\"payload\":{\"n\":";
        let Some(at) = body.windows(MARK.len()).position(|window| window == MARK) else {
            return;
        };
        let digits = body[at + MARK.len()..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit());
        let number = digits.fold(0_u64, |number, digit| {
            number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))
        });
        let furthest = self.furthest.fetch_max(number, Ordering::AcqRel);
        if number + WINDOW < furthest {
            self.out_of_order.fetch_add(1, Ordering::AcqRel);
        }
        if let Some(latency) = self.departures.since(number) {
            self.latencies
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(latency);
        }
    }
}

/// So many in so much time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) count: u64,
    pub(crate) time: Duration,
}

impl Rate {
    pub(crate) fn since(start: Instant, count: u64) -> Self {
        Self {
            count,
            time: Clock.elapsed(start),
        }
    }

    pub(crate) fn per_second(self) -> f64 {
        crate::load::number_as_f64(self.count) / self.time.as_secs_f64().max(0.001)
    }
}

/// Reads requests and never answers, on a thread of its own.
pub(crate) struct Hanging {
    pub(crate) url: String,
    receiver: Arc<RawReceiver>,
    _end: tokio::sync::oneshot::Sender<()>,
}

impl Hanging {
    pub(crate) async fn start() -> Self {
        let (started, start) = tokio::sync::oneshot::channel();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let receiver = RawReceiver::start(vec![RawAnswer::Hang])
                    .await
                    .expect("a free port");
                let receiver = Arc::new(receiver);
                let _ = started.send(Arc::clone(&receiver));
                let _ = ended.await;
            });
        });
        let receiver = start.await.expect("the thread has started");
        Self {
            url: receiver.url(),
            receiver,
            _end: end,
        }
    }

    pub(crate) fn connections(&self) -> u64 {
        self.receiver.connections()
    }

    /// Waits until every connection made so far has ended.
    pub(crate) async fn is_left_alone(&self) {
        self.receiver.closed(self.receiver.connections()).await;
    }
}
