//! The services that events are delivered to, on one thread.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::oneshot,
};

use crate::{event, http::Message, latency::Latencies, time};

const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;
/// How often a count is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// For how long nothing may come before something is wrong.
const PATIENCE_SECONDS: f64 = 30.0;

/// What the services do with a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// 204, at once.
    Take,
    /// They accept and never answer.
    Hang,
}

/// Services that are all in the same manner. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Receivers {
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    _end: oneshot::Sender<()>,
}

#[derive(Debug, Default)]
struct Shared {
    delivered: AtomicU64,
    /// When the last one came.
    last: AtomicU64,
    /// Open connections.
    open: AtomicU64,
    timing: AtomicBool,
    latencies: Mutex<Latencies>,
}

impl Receivers {
    /// So many services, each on a port of its own.
    pub(crate) fn start(count: usize, manner: Manner) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listeners = {
            let _context = runtime.enter();
            (0..count).map(|_| listen()).collect::<Result<Vec<_>>>()?
        };
        let addresses = listeners
            .iter()
            .map(TcpListener::local_addr)
            .collect::<Result<_, _>>()?;
        let shared = Arc::<Shared>::default();
        let state = Arc::clone(&shared);
        let (end, ended) = oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("receivers".to_owned())
            .spawn(move || {
                let local = tokio::task::LocalSet::new();
                local.block_on(&runtime, async {
                    for listener in listeners {
                        tokio::task::spawn_local(accept(listener, Arc::clone(&state), manner));
                    }
                    let _ = ended.await;
                });
            })?;
        Ok(Self {
            addresses,
            shared,
            _end: end,
        })
    }

    /// The base URL of one of them.
    pub(crate) fn url(&self, number: usize) -> String {
        format!("http://{}", self.addresses[number % self.addresses.len()])
    }

    /// Deliveries so far, over all of them.
    pub(crate) fn delivered(&self) -> u64 {
        self.shared.delivered.load(Ordering::Acquire)
    }

    pub(crate) fn open_connections(&self) -> u64 {
        self.shared.open.load(Ordering::Acquire)
    }

    /// When the last delivery came.
    pub(crate) fn last(&self) -> u64 {
        self.shared.last.load(Ordering::Acquire)
    }

    /// From here on the age of each event counts; what was counted before is forgotten.
    pub(crate) fn time(&self) {
        *self.latencies() = Latencies::default();
        self.shared.timing.store(true, Ordering::Release);
    }

    /// The ages of the events since [`Receivers::time`].
    pub(crate) fn take_latencies(&self) -> Latencies {
        self.shared.timing.store(false, Ordering::Release);
        std::mem::take(&mut *self.latencies())
    }

    fn latencies(&self) -> std::sync::MutexGuard<'_, Latencies> {
        self.shared
            .latencies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until so many deliveries have come in all.
    ///
    /// # Errors
    /// When none comes for a long time.
    pub(crate) async fn arrived(&self, count: u64) -> Result<()> {
        let start = time::nanos();
        while self.delivered() < count {
            tokio::time::sleep(LOOK).await;
            let last = self.last().max(start);
            if time::seconds(last, time::nanos()) > PATIENCE_SECONDS {
                bail!(
                    "{} of {count} deliveries have come, and none for {PATIENCE_SECONDS} s",
                    self.delivered()
                );
            }
        }
        Ok(())
    }
}

fn listen() -> Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    Ok(socket.listen(BACKLOG)?)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, manner: Manner) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = Arc::clone(&shared);
                tokio::task::spawn_local(async move {
                    shared.open.fetch_add(1, Ordering::AcqRel);
                    // The other side may hang up as it likes.
                    let _ = serve(stream, &shared, manner).await;
                    shared.open.fetch_sub(1, Ordering::AcqRel);
                });
            }
            // Out of files: those who hang give some back when they are given up.
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared, manner: Manner) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(4096);
    while stream.read_buf(&mut buffer).await? > 0 {
        if manner == Manner::Hang {
            buffer.clear();
            continue;
        }
        while let Some(message) = Message::at_start_of(&buffer) {
            shared.take(message.body(&buffer));
            buffer.drain(..message.whole);
            stream.write_all(ANSWER).await?;
        }
    }
    Ok(())
}

impl Shared {
    fn take(&self, body: &[u8]) {
        if self.timing.load(Ordering::Relaxed)
            && let Some(age) = event::age(body)
        {
            self.latencies
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .record(age);
        }
        self.last.store(time::nanos(), Ordering::Release);
        self.delivered.fetch_add(1, Ordering::AcqRel);
    }
}
