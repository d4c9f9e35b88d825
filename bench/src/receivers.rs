//! The services that events are delivered to, on one thread.

mod tally;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Result, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::oneshot,
};

pub(crate) use self::tally::Tally;
use crate::{http::Message, time};

const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;
/// The interval at which a count is checked.
const LOOK: Duration = Duration::from_millis(5);
/// The longest time without a delivery while some are awaited.
const PATIENCE_SECONDS: f64 = 30.0;

/// How the services answer deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behavior {
    /// With 204, at once.
    Accept,
    /// Never: they accept connections and read.
    Hang,
}

/// Services with the same behavior. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Receivers {
    addresses: Vec<SocketAddr>,
    tally: Arc<Tally>,
    _end: oneshot::Sender<()>,
}

impl Receivers {
    /// Starts so many services, each on a port of its own.
    pub(crate) fn start(count: usize, behavior: Behavior) -> Result<Self> {
        let sockets = (0..count).map(|_| bind()).collect::<Result<Vec<_>>>()?;
        Self::listen(sockets, behavior)
    }

    fn listen(sockets: Vec<TcpSocket>, behavior: Behavior) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listeners = {
            let _context = runtime.enter();
            let listening = sockets.into_iter().map(|socket| socket.listen(BACKLOG));
            listening.collect::<Result<Vec<_>, _>>()?
        };
        let addresses = listeners
            .iter()
            .map(TcpListener::local_addr)
            .collect::<Result<_, _>>()?;
        let tally = Arc::<Tally>::default();
        let counted = Arc::clone(&tally);
        let (end, ended) = oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("receivers".to_owned())
            .spawn(move || {
                let local = tokio::task::LocalSet::new();
                local.block_on(&runtime, async {
                    for listener in listeners {
                        tokio::task::spawn_local(accept(listener, Arc::clone(&counted), behavior));
                    }
                    let _ = ended.await;
                });
            })?;
        Ok(Self {
            addresses,
            tally,
            _end: end,
        })
    }

    /// The base URL of one of them.
    pub(crate) fn url(&self, number: usize) -> String {
        format!("http://{}", self.addresses[number % self.addresses.len()])
    }

    /// The counts over all services.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Deliveries so far, over all services.
    pub(crate) fn delivered(&self) -> u64 {
        self.tally.delivered()
    }

    /// Waits until so many deliveries have come in all.
    ///
    /// # Errors
    /// If no delivery comes for 30 s.
    pub(crate) async fn arrived(&self, count: u64) -> Result<()> {
        let start = time::nanos();
        while self.delivered() < count {
            tokio::time::sleep(LOOK).await;
            let last = self.tally.last().max(start);
            if time::seconds(last, time::nanos()) > PATIENCE_SECONDS {
                bail!(
                    "{} of {count} deliveries have come, and none for {PATIENCE_SECONDS} s",
                    self.delivered()
                );
            }
        }
        Ok(())
    }

    /// Waits until so many deliveries have come in all, or until the time is over.
    pub(crate) async fn arrived_within(&self, count: u64, at_most: Duration) {
        let start = time::nanos();
        while self.delivered() < count && time::seconds(start, time::nanos()) < at_most.as_secs_f64() {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// A service that is down: its port is reserved, and connections to it are refused.
#[derive(Debug)]
pub(crate) struct DownService(TcpSocket);

impl DownService {
    pub(crate) fn reserve() -> Result<Self> {
        Ok(Self(bind()?))
    }

    pub(crate) fn url(&self) -> Result<String> {
        Ok(format!("http://{}", self.0.local_addr()?))
    }

    /// Starts the service at its URL.
    pub(crate) fn come_up(self) -> Result<Receivers> {
        Receivers::listen(vec![self.0], Behavior::Accept)
    }
}

fn bind() -> Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    Ok(socket)
}

async fn accept(listener: TcpListener, tally: Arc<Tally>, behavior: Behavior) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let tally = Arc::clone(&tally);
                tokio::task::spawn_local(async move {
                    tally.opened();
                    // The server may close the connection at any time.
                    let _ = serve(stream, &tally, behavior).await;
                    tally.closed();
                });
            }
            // No file is left. Connections to services that hang are closed when their attempts time out.
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

async fn serve(mut stream: TcpStream, tally: &Tally, behavior: Behavior) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(4096);
    while stream.read_buf(&mut buffer).await? > 0 {
        if behavior == Behavior::Hang {
            buffer.clear();
            continue;
        }
        while let Some(message) = Message::at_start_of(&buffer) {
            tally.record(message.body(&buffer));
            buffer.drain(..message.whole);
            stream.write_all(ANSWER).await?;
        }
    }
    Ok(())
}
