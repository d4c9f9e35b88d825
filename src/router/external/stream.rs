//! The socket under a request, and what the request learns of it.
//!
//! `awc` has a pool and does not say which of its connections carries a request. So the request leaves a
//! [`Wire`] with its task, and the connection that is written to in that task takes it along.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_tls::connect::rustls_0_23::reexports::AsyncTlsStream;
use actix_web::rt::net::{ActixStream, Ready};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{budget::Socket, interim::InterimFilter};

/// The longest head of an answer, interim answers before it included. Servers of HTTP take heads of 8 to
/// 16 KiB themselves.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Read at once until the answer has begun.
const PIECE_BYTES: usize = 512;

tokio::task_local! {
    static WIRE: Rc<Wire>;
}

/// What one request learns of the connection that carries it.
#[derive(Debug, Default)]
pub(super) struct Wire {
    reused: Cell<bool>,
    arrived: Cell<usize>,
    head_is_read: Cell<bool>,
}

impl Wire {
    /// Sends the request on this wire.
    pub(super) async fn carry<T, E>(
        self: &Rc<Self>,
        request: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let answer = WIRE.scope(Rc::clone(self), request).await?;
        self.head_is_read.set(true);
        Ok(answer)
    }

    /// Whether the request went out on a connection that had served before, and nothing came back on it.
    pub(super) fn is_reused_and_silent(&self) -> bool {
        self.reused.get() && self.arrived.get() == 0
    }

    fn count(&self, bytes: usize) -> io::Result<()> {
        let arrived = self.arrived.get().saturating_add(bytes);
        self.arrived.set(arrived);
        if arrived > MAX_HEAD_BYTES && !self.head_is_read.get() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the answer's head is larger than {MAX_HEAD_BYTES} bytes"),
            ));
        }
        Ok(())
    }
}

/// A connection to a service, with TLS or without.
#[derive(Debug)]
pub(super) struct DeliveryStream {
    io: Io,
    wire: Rc<Wire>,
    interim: InterimFilter,
    _socket: Socket,
}

#[derive(Debug)]
pub(super) enum Io {
    Plain(TcpStream),
    Tls(Box<AsyncTlsStream<TcpStream>>),
}

impl DeliveryStream {
    /// Call it in the task of the request that the connection is made for.
    pub(super) fn new(io: Io, socket: Socket) -> Self {
        Self {
            io,
            wire: WIRE.try_with(Rc::clone).unwrap_or_default(),
            interim: InterimFilter::default(),
            _socket: socket,
        }
    }

    /// Another request goes out on this connection.
    fn notice_request(&mut self) {
        let _ = WIRE.try_with(|wire| {
            if !Rc::ptr_eq(wire, &self.wire) {
                wire.reused.set(true);
                self.wire = Rc::clone(wire);
                self.interim = InterimFilter::default();
            }
        });
    }

    fn tcp(&self) -> &TcpStream {
        match &self.io {
            Io::Plain(stream) => stream,
            Io::Tls(stream) => stream.get_ref().0,
        }
    }
}

impl AsyncRead for DeliveryStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !this.interim.passes() {
            let begun = this.interim.take(buf.remaining());
            if !begun.is_empty() {
                buf.put_slice(&begun);
                return Poll::Ready(Ok(()));
            }
            let mut bytes = [0; PIECE_BYTES];
            let mut piece = ReadBuf::new(&mut bytes);
            ready!(this.io.poll_read(cx, &mut piece))?;
            this.wire.count(piece.filled().len())?;
            match piece.filled() {
                [] => this.interim.ended(),
                arrived => this.interim.arrived(arrived),
            }
        }
        let before = buf.filled().len();
        ready!(this.io.poll_read(cx, buf))?;
        Poll::Ready(this.wire.count(buf.filled().len() - before))
    }
}

impl AsyncWrite for DeliveryStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.notice_request();
        match &mut this.io {
            Io::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Io::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Io::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Io::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl Io {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl ActixStream for DeliveryStream {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_read_ready(self.tcp(), cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_write_ready(self.tcp(), cx)
    }
}
