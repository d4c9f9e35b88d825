//! The socket under a request, and what the request learns of it.
//!
//! `awc` has a pool and does not say which of its connections carries a request. The request therefore puts a [`Wire`]
//! into a task-local, and the connection that is written to in that task takes it.

use std::{
    cell::{Cell, RefCell},
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

use super::{
    budget::{ConnectionBudget, IdleSlot, Socket},
    dial_error::DialError,
    interim::InterimFilter,
};

/// The longest head of an answer, interim answers before it included. Servers of HTTP take heads of 8 to
/// 16 KiB themselves.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Read at once until the answer has begun.
const PIECE_BYTES: usize = 512;

tokio::task_local! {
    static WIRE: Rc<Wire>;
}

/// What becomes of the connection once a delivery is over.
#[derive(Debug)]
pub(super) enum Keep {
    Not,
    /// It is kept, in this slot if it is new.
    In(IdleSlot),
    /// It is kept. Most probably an idle connection is used again, which has an idle slot already.
    Waiting,
}

/// A client's number of connections with an idle slot, and of deliveries under way whose connection is kept.
#[derive(Debug, Default)]
pub(super) struct PoolUsage {
    kept: Cell<usize>,
    deliveries: Cell<usize>,
}

/// One connection or delivery of a [`PoolUsage`], counted until dropped.
#[derive(Debug)]
pub(super) struct Counted {
    usage: Rc<PoolUsage>,
    of: fn(&PoolUsage) -> &Cell<usize>,
}

impl PoolUsage {
    /// Whether there are more kept connections than deliveries that use one.
    pub(super) fn has_waiting(&self) -> bool {
        self.kept.get() > self.deliveries.get()
    }

    pub(super) fn delivery(self: &Rc<Self>) -> Counted {
        self.count(|usage| &usage.deliveries)
    }

    fn kept(self: &Rc<Self>, slot: IdleSlot) -> (IdleSlot, Counted) {
        (slot, self.count(|usage| &usage.kept))
    }

    fn count(self: &Rc<Self>, of: fn(&Self) -> &Cell<usize>) -> Counted {
        let usage = Rc::clone(self);
        of(&usage).set(of(&usage).get() + 1);
        Counted { usage, of }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let count = (self.of)(&self.usage);
        count.set(count.get() - 1);
    }
}

/// What one request learns of the connection that carries it.
#[derive(Debug)]
pub(super) struct Wire {
    keep: RefCell<Keep>,
    lacks_idle_slot: Cell<bool>,
    reused: Cell<bool>,
    arrived: Cell<usize>,
    head_is_read: Cell<bool>,
}

impl Wire {
    pub(super) fn new(keep: Keep) -> Rc<Self> {
        Rc::new(Self {
            keep: RefCell::new(keep),
            lacks_idle_slot: Cell::new(false),
            reused: Cell::new(false),
            arrived: Cell::new(0),
            head_is_read: Cell::new(false),
        })
    }

    /// The request of this task needs a new connection. Where that is to be kept, it has an idle slot from now on.
    pub(super) fn connects(budget: &ConnectionBudget) -> Result<(), DialError> {
        let with_slot = |wire: &Rc<Self>| {
            let mut keep = wire.keep.borrow_mut();
            if matches!(*keep, Keep::Waiting) {
                *keep = Keep::In(budget.idle_slot().ok_or_else(|| {
                    wire.lacks_idle_slot.set(true);
                    DialError::NoIdleSlot
                })?);
            }
            Ok(())
        };
        WIRE.try_with(with_slot).unwrap_or(Ok(()))
    }

    /// Whether no connection was made because no idle slot was left for it.
    pub(super) fn lacks_idle_slot(&self) -> bool {
        self.lacks_idle_slot.get()
    }

    /// Runs the request with this wire as its task-local.
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
    /// The last request that was written.
    wire: Option<Rc<Wire>>,
    interim: InterimFilter,
    slot: Option<(IdleSlot, Counted)>,
    usage: Rc<PoolUsage>,
    _socket: Socket,
}

#[derive(Debug)]
pub(super) enum Io {
    Plain(TcpStream),
    Tls(Box<AsyncTlsStream<TcpStream>>),
}

impl DeliveryStream {
    /// Call it in the task of the request that the connection is made for.
    pub(super) fn new(io: Io, socket: Socket, usage: Rc<PoolUsage>) -> Self {
        let mut stream = Self {
            io,
            wire: None,
            interim: InterimFilter::default(),
            slot: None,
            usage,
            _socket: socket,
        };
        let _ = WIRE.try_with(|wire| stream.carry(wire));
        stream
    }

    fn carry(&mut self, wire: &Rc<Wire>) {
        match wire.keep.replace(Keep::Not) {
            Keep::Not => self.slot = None,
            Keep::Waiting => {}
            Keep::In(slot) => {
                self.slot.get_or_insert_with(|| self.usage.kept(slot));
            }
        }
        self.wire = Some(Rc::clone(wire));
    }

    /// Another request goes out on this connection.
    fn notice_request(&mut self) {
        let _ = WIRE.try_with(|wire| {
            if !self.wire.as_ref().is_some_and(|before| Rc::ptr_eq(wire, before)) {
                wire.reused.set(true);
                self.carry(wire);
                self.interim = InterimFilter::default();
            }
        });
    }

    fn count(&self, bytes: usize) -> io::Result<()> {
        self.wire.as_ref().map_or(Ok(()), |wire| wire.count(bytes))
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
            this.count(piece.filled().len())?;
            match piece.filled() {
                [] => this.interim.ended(),
                arrived => this.interim.arrived(arrived),
            }
        }
        let before = buf.filled().len();
        ready!(this.io.poll_read(cx, buf))?;
        Poll::Ready(this.count(buf.filled().len() - before))
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
