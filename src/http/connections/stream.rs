//! One connection, with limits on the times in which the client has to act.

use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Instant,
};

use futures_util::future::LocalBoxFuture;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep_until},
};

use super::{
    ClientPermit, Connections, LAST_LOOK,
    exchange::{Exchange, Phase},
    minimum_rate::MinimumRate,
};
use pointsman_clock::Clock;

/// A client that is too slow, or idle for too long, is treated as one that has closed the connection: reading ends.
/// If it does not read its answer, writing fails. Either ends the connection.
pub(super) struct ClientStream {
    io: TcpStream,
    exchange: Rc<Exchange>,
    connections: Connections,
    stopping: Option<LocalBoxFuture<'static, ()>>,
    reading: Timer,
    writing: Timer,
    /// The transfer of what could not be sent at once.
    rate: Option<MinimumRate>,
    /// The client has been given up; nothing is read any more.
    ended: bool,
    _permit: ClientPermit,
}

impl fmt::Debug for ClientStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientStream")
            .field("io", &self.io)
            .finish_non_exhaustive()
    }
}

impl ClientStream {
    pub(super) fn new(io: TcpStream, permit: ClientPermit) -> Self {
        let connections = permit.0.clone();
        let mut stopping = connections.0.stopping.subscribe();
        Self {
            io,
            exchange: Exchange::begin(connections.clone()),
            connections,
            stopping: Some(Box::pin(async move {
                // An error says that the server is gone.
                let _ = stopping.wait_for(|stopping| *stopping).await;
            })),
            reading: Timer::default(),
            writing: Timer::default(),
            rate: None,
            ended: false,
            _permit: permit,
        }
    }

    pub(super) fn exchange(&self) -> Rc<Exchange> {
        Rc::clone(&self.exchange)
    }

    /// Called when nothing has arrived. Ready when the client's time is up.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = match self.exchange.phase() {
            Phase::Answering => return Poll::Pending,
            Phase::Idle { until } => {
                if let Some(stopping) = &mut self.stopping
                    && stopping.as_mut().poll(cx).is_ready()
                {
                    self.stopping = None;
                }
                if self.stopping.is_none() {
                    return Poll::Ready(());
                }
                until
            }
            Phase::Head { until } => until,
        };
        self.reading.poll(until, self.connections.0.clock, cx)
    }

    /// Called when nothing could be sent. An error when the client has been too slow for too long.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let (clock, settings) = (self.connections.0.clock, self.connections.0.settings);
        let rate = *self
            .rate
            .get_or_insert_with(|| MinimumRate::begin(clock.instant(), settings.client_timeout));
        ready!(self.writing.poll(rate.deadline(), clock, cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client does not read its answer",
        )))
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.io).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => {
                if buffer.filled().len() > before {
                    self.exchange.bytes_arrived();
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(error) => Poll::Ready(error),
            Poll::Pending => {
                ready!(self.poll_patience(cx));
                // Nothing read, and yet ready: the end.
                self.ended = true;
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.io).poll_write(cx, bytes) {
            Poll::Ready(Ok(sent)) => {
                if let Some(rate) = &mut self.rate {
                    rate.passed(sent);
                }
                Poll::Ready(Ok(sent))
            }
            Poll::Ready(error) => Poll::Ready(error),
            Poll::Pending => self.poll_stalled(cx),
        }
    }

    /// Called when nothing is left to send. The phase may have changed since the last read, so the timer is set for
    /// it here: otherwise nothing would wake this task.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.rate = None;
        if !self.ended && self.poll_patience(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// A timer that is made when it is needed and set again when its time has changed.
#[derive(Default)]
struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    until: Option<Instant>,
    is_last_look: bool,
}

impl Timer {
    /// Ready [`LAST_LOOK`] after `until`, unless `until` has changed meanwhile.
    fn poll(&mut self, until: Instant, clock: Clock, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(until.into())));
        if self.until != Some(until) {
            sleep.as_mut().reset(until.into());
            self.until = Some(until);
            self.is_last_look = false;
        }
        ready!(sleep.as_mut().poll(cx));
        if !self.is_last_look {
            self.is_last_look = true;
            sleep.as_mut().reset((clock.instant() + LAST_LOOK).into());
            ready!(sleep.as_mut().poll(cx));
        }
        Poll::Ready(())
    }
}
