//! One connection that publishes one event after the other.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    event::Request,
    http::{Message, status},
};

/// How much of an unexpected response is shown.
const SHOWN_BYTES: usize = 600;

pub(super) struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// How a publish was answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct PublishAnswer {
    pub(super) status: u16,
    /// The server closes the connection.
    pub(super) closes: bool,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            request: Vec::with_capacity(2048),
            answer: Vec::with_capacity(2048),
        })
    }

    /// Publishes an event that carries this time.
    ///
    /// # Errors
    /// Every status other than 200 is one: a refused event must not be counted.
    pub(super) async fn publish(&mut self, request: &Request, nanos: u64) -> Result<()> {
        if self.send(request, nanos).await?.status != 200 {
            let shown = &self.answer[..self.answer.len().min(SHOWN_BYTES)];
            bail!("a publish was answered with {}", String::from_utf8_lossy(shown));
        }
        Ok(())
    }

    /// Publishes an event that carries this time. Returns the response whatever its status.
    pub(super) async fn send(&mut self, request: &Request, nanos: u64) -> Result<PublishAnswer> {
        request.write(nanos, &mut self.request);
        self.stream.write_all(&self.request).await?;
        self.answer.clear();
        loop {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                bail!("the server has closed the connection");
            }
            if let Some(message) = Message::at_start_of(&self.answer) {
                return Ok(PublishAnswer {
                    status: status(&self.answer),
                    closes: message.closes(&self.answer),
                });
            }
        }
    }
}
