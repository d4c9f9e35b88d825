//! A receiver that speaks bytes.

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

/// What becomes of one request once it has been read whole.
#[derive(Clone, Debug)]
pub enum RawAnswer {
    /// Close without a byte.
    Close,
    /// Never answer.
    Hang,
    /// Write these bytes, whatever they are, and wait for the next request. An incomplete answer hangs.
    Bytes(Bytes),
    /// Write these bytes and close.
    BytesThenClose(Bytes),
    /// Write one of these at a time, with a pause before each, and wait for the next request.
    Slowly { parts: Vec<Bytes>, pause: Duration },
    /// Write `head`, then `chunk` over and over for as long as the other side takes it.
    Endless { head: Bytes, chunk: Bytes },
}

/// A TCP server that answers the nth request, over all its connections, with the nth answer, and all
/// further ones with the last. It stops when dropped.
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
    /// Listens on a free port of 127.0.0.1. Without any answer it hangs.
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

    /// Connections made to it so far.
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::Acquire)
    }

    /// Requests it has read whole so far.
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Acquire)
    }

    /// Bytes that the other side's and our own socket buffers have taken so far.
    pub fn written(&self) -> u64 {
        self.state.written.load(Ordering::Acquire)
    }

    /// Waits until so many connections have ended, by whichever side.
    pub async fn closed(&self, connections: u64) {
        // Fails only without a sender, and the sender is in our own state.
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
    // Dropped, and with it all connections, when the accepting task is aborted.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        state.connections.fetch_add(1, Ordering::AcqRel);
        let state = Arc::clone(&state);
        connections.spawn(async move {
            // An error is the other side's way to end a connection.
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
