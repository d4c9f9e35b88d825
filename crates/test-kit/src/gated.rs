//! A service that takes events and answers none before the test says so.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use super::eventually::PATIENCE;

const TAKEN: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// Answers 200 once the gate is open. It stops when dropped.
pub struct GatedService {
    address: SocketAddr,
    open: watch::Sender<bool>,
    arrived: watch::Sender<u64>,
    accepting: JoinHandle<()>,
}

impl GatedService {
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let (open, arrived) = (watch::Sender::new(false), watch::Sender::new(0));
        let accepting = tokio::spawn(accept(listener, open.clone(), arrived.clone()));
        Self {
            address,
            open,
            arrived,
            accepting,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until so many requests have arrived.
    pub async fn arrived(&self, count: u64) {
        let mut arrived = self.arrived.subscribe();
        let waited = timeout(PATIENCE, arrived.wait_for(|arrived| *arrived >= count)).await;
        assert!(waited.is_ok(), "{} requests instead of {count}", self.count());
    }

    /// Requests so far.
    pub fn count(&self) -> u64 {
        *self.arrived.borrow()
    }

    /// Answers all that have waited, and from now on at once.
    pub fn open(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for GatedService {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, open: watch::Sender<bool>, arrived: watch::Sender<u64>) {
    // Dropped, and with it all connections, when the accepting task is aborted.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (open, arrived) = (open.subscribe(), arrived.clone());
        connections.spawn(async move {
            // An error is the other side's way to end a connection.
            let _ = serve(stream, open, arrived).await;
        });
    }
}

async fn serve(
    mut stream: TcpStream,
    mut open: watch::Receiver<bool>,
    arrived: watch::Sender<u64>,
) -> io::Result<()> {
    let mut said = Vec::new();
    loop {
        if let Some(length) = request_length(&said)
            && said.len() >= length
        {
            said.drain(..length);
            arrived.send_modify(|arrived| *arrived += 1);
            // Fails only when the test is over.
            let _ = open.wait_for(|open| *open).await;
            stream.write_all(TAKEN).await?;
        } else if stream.read_buf(&mut said).await? == 0 {
            return Ok(());
        }
    }
}

/// The length of the request that these bytes begin with, once its head is complete.
fn request_length(said: &[u8]) -> Option<usize> {
    let head = said.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&said[..head]).to_ascii_lowercase();
    let mut lines = text.lines();
    let body = lines.find_map(|line| line.strip_prefix("content-length:"))?;
    Some(head + body.trim().parse::<usize>().ok()?)
}
