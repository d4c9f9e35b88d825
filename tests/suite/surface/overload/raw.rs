//! Connections without a client in between: what is sent is what the test says, when it says so.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use pointsman_test_kit::{PATIENCE, TestApp};

/// Small, so that a client that does not read fills it soon.
const RECEIVE_BUFFER: u32 = 4096;

pub(super) struct Connection {
    stream: TcpStream,
    /// Read beyond the last answer.
    read: Vec<u8>,
}

pub(super) struct RawAnswer {
    /// In lower case.
    pub(super) head: String,
    pub(super) body: String,
}

impl RawAnswer {
    pub(super) fn status(&self) -> u16 {
        let status = self.head.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| panic!("no status in {:?}", self.head))
    }

    pub(super) fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        body["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Connection {
    pub(super) async fn open(app: &TestApp) -> Self {
        let address: SocketAddr = app.address();
        let socket = TcpSocket::new_v4().expect("a socket can be made");
        socket
            .set_recv_buffer_size(RECEIVE_BUFFER)
            .expect("a buffer can be small");
        let stream = timeout(PATIENCE, socket.connect(address)).await;
        Self {
            stream: stream.expect("the server accepts").expect("the server listens"),
            read: Vec::new(),
        }
    }

    /// Sends this, unless the server has closed the connection.
    pub(super) async fn send(&mut self, text: &str) {
        let _ = self.stream.write_all(text.as_bytes()).await;
    }

    /// The next answer.
    pub(super) async fn answer(&mut self) -> RawAnswer {
        timeout(PATIENCE, self.next_answer())
            .await
            .expect("an answer comes")
    }

    /// The next answer; nothing where `other`, which is asked for again and again, is answered several times
    /// before it comes: the server has had all the time to answer, and waits.
    pub(super) async fn answer_unless<F: Future>(&mut self, other: impl Fn() -> F) -> Option<RawAnswer> {
        let others = async {
            for _ in 0..20 {
                other().await;
            }
        };
        tokio::select! {
            answer = self.next_answer() => Some(answer),
            () = others => None,
        }
    }

    async fn next_answer(&mut self) -> RawAnswer {
        loop {
            if let Some(answer) = self.take_answer() {
                return answer;
            }
            let read = self.stream.read_buf(&mut self.read).await;
            let text = String::from_utf8_lossy(&self.read);
            match read {
                Ok(0) => panic!("the connection ended after {text:?}"),
                Ok(_) => {}
                Err(error) => panic!("{error} after {text:?}"),
            }
        }
    }

    fn take_answer(&mut self) -> Option<RawAnswer> {
        let text = String::from_utf8_lossy(&self.read).into_owned();
        let (head, rest) = text.split_once("\r\n\r\n")?;
        let head = head.to_lowercase();
        let length = head.split("content-length: ").nth(1)?;
        let length: usize = length.lines().next()?.parse().ok()?;
        let body = rest.get(..length)?.to_owned();
        self.read.drain(..head.len() + 4 + length);
        Some(RawAnswer { head, body })
    }

    /// What else comes before the server closes the connection.
    pub(super) async fn rest(&mut self) -> String {
        let mut rest = std::mem::take(&mut self.read);
        let read = timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await;
        // A reset is an end as well.
        let _ = read.expect("the server hangs up");
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// Sends a request whose head does not end, until the server closes the connection; returns how much it took.
    pub(super) async fn send_for_ever(mut self, line: &str) -> usize {
        let sending = async {
            self.send("GET /healthz HTTP/1.1\r\n").await;
            let mut sent = 0;
            while self.stream.write_all(line.as_bytes()).await.is_ok() {
                sent += line.len();
            }
            sent
        };
        timeout(PATIENCE, sending).await.expect("the server hangs up")
    }

    /// Waits until the server has closed the connection, and reads nothing until then.
    pub(super) async fn cut_off_without_reading(&mut self) {
        let writing = async {
            // Fails once the other side is gone; until then there is room for these few bytes.
            let mut pulse = tokio::time::interval(std::time::Duration::from_millis(20));
            while self.stream.write_all(b"\r\n").await.is_ok() {
                pulse.tick().await;
            }
        };
        timeout(PATIENCE, writing).await.expect("the server hangs up");
    }

    /// Resets the connection, whatever is on its way.
    pub(super) fn reset(self) {
        let socket = self.stream.into_std().expect("it is open");
        // SO_LINGER of zero: no orderly end, a reset.
        let socket = TcpSocket::from_std_stream(socket);
        socket.set_zero_linger().expect("how a socket ends can be chosen");
    }
}

/// What else comes on a connection of a server that has stopped.
pub(super) async fn end_of(mut connection: Connection) -> String {
    connection.rest().await
}
