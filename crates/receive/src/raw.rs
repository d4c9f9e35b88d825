//! A receiver that writes bytes.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// What happens after one request has been read completely.
#[derive(Clone, Debug)]
pub enum RawAnswer {
    /// Close without a byte.
    Close,
    /// Never answer.
    Hang,
    /// Write these bytes and wait for the next request. They need not be an answer; an incomplete one hangs.
    Bytes(Bytes),
    /// Write these bytes and close.
    BytesThenClose(Bytes),
    /// Write one of these at a time, with a pause before each, and wait for the next request.
    Slowly { parts: Vec<Bytes>, pause: Duration },
    /// Write `head`, and then `chunk` repeatedly for as long as the client reads.
    Endless { head: Bytes, chunk: Bytes },
}

/// A TCP server that answers the nth request over all its connections with the nth answer. Further requests get the
/// last answer. It stops when dropped.
#[derive(Debug)]
pub struct RawReceiver {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    answers: Vec<RawAnswer>,
    requests: AtomicU64,
    connections: AtomicU64,
    written: AtomicU64,
    closed: watch::Sender<u64>,
}

impl RawReceiver {
    /// Listens on a free port of 127.0.0.1. Without answers every request hangs.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(answers: Vec<RawAnswer>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            answers,
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            written: AtomicU64::new(0),
            closed: watch::Sender::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        Ok(Self {
            address,
            state,
            accepting,
        })
    }

    /// The service base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that clients have opened so far.
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::Acquire)
    }

    /// Requests that have been read completely so far.
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Acquire)
    }

    /// Bytes that have been written so far. Some may still be in the socket buffers.
    pub fn written(&self) -> u64 {
        self.state.written.load(Ordering::Acquire)
    }

    /// Waits until this many connections have ended, by either side.
    pub async fn closed(&self, connections: u64) {
        // Fails only without a sender, and the state has one.
        let _ = self
            .state
            .closed
            .subscribe()
            .wait_for(|closed| *closed >= connections)
            .await;
    }
}

impl Drop for RawReceiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    // Aborting the accepting task drops the set, which ends all connections.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        state.connections.fetch_add(1, Ordering::AcqRel);
        let state = Arc::clone(&state);
        connections.spawn(async move {
            // A client that ends its connection can cause an error.
            let _ = serve(stream, &state).await;
            state.closed.send_modify(|closed| *closed += 1);
        });
    }
}

async fn serve(mut stream: TcpStream, state: &State) -> io::Result<()> {
    let mut buffer = Vec::new();
    while read_request(&mut stream, &mut buffer).await? {
        let number = state.requests.fetch_add(1, Ordering::AcqRel);
        let index = usize::try_from(number)
            .unwrap_or(usize::MAX)
            .min(state.answers.len().saturating_sub(1));
        match state.answers.get(index) {
            None | Some(RawAnswer::Hang) => {}
            Some(RawAnswer::Close) => return Ok(()),
            Some(RawAnswer::Bytes(bytes)) => state.write(&mut stream, bytes).await?,
            Some(RawAnswer::BytesThenClose(bytes)) => return state.write(&mut stream, bytes).await,
            Some(RawAnswer::Slowly { parts, pause }) => {
                for part in parts {
                    tokio::time::sleep(*pause).await;
                    state.write(&mut stream, part).await?;
                }
            }
            Some(RawAnswer::Endless { head, chunk }) => {
                state.write(&mut stream, head).await?;
                loop {
                    state.write(&mut stream, chunk).await?;
                }
            }
        }
    }
    Ok(())
}

impl State {
    async fn write(&self, stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
        stream.write_all(bytes).await?;
        self.written.fetch_add(bytes.len() as u64, Ordering::AcqRel);
        Ok(())
    }
}

/// Reads one request with a `Content-Length`; false at the end of the connection.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        if let Some(length) = request_length(buffer)
            && buffer.len() >= length
        {
            buffer.drain(..length);
            return Ok(true);
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(false);
        }
    }
}

/// The length of the request at the beginning of the buffer, once its head is complete.
fn request_length(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
    let body = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0);
    Some(head + body)
}
