//! The connections of clients: how many there may be, and how long a client may take to act.
//!
//! `actix-http` has a time-out only for the first head of a connection, and checks it before it reads what has arrived
//! meanwhile; it has none for later heads, for bodies, or for a client that does not read its answer. So a connection
//! here is a `ClientStream`, which limits the times in which the client has to act, and no others. It reads what has
//! arrived before it checks the time, so that a busy server does not cut off clients for its own delay. The time for
//! bodies is limited where they are read, in [`super::intake`], because an answer can still be sent there.

mod exchange;
mod minimum_rate;
mod refuse;
mod service;
mod stream;

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, watch};

pub use self::service::client_service;
pub(super) use self::{exchange::layer, minimum_rate::MinimumRate};

use pointsman_clock::Clock;

/// How long an idle connection is kept while connections are scarce.
const SCARCE_KEEP_ALIVE: Duration = Duration::from_secs(1);

/// How much longer a client is waited for when its time is up. A thread that could not run for a while notices the time
/// first; it sees what has arrived meanwhile only after it has asked the system again.
pub(super) const LAST_LOOK: Duration = Duration::from_millis(10);

/// The limits of connections.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionSettings {
    /// Most connections at a time, over all workers.
    pub limit: usize,
    /// The time for a head, and the initial time for a body and for an answer.
    pub client_timeout: Duration,
    /// The time between two requests.
    pub keep_alive: Duration,
}

/// All connections of the server; one for the process, cheap to clone.
#[derive(Clone, Debug)]
pub struct Connections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: ConnectionSettings,
    clock: Clock,
    open: AtomicUsize,
    /// Connections that are being refused.
    refused: AtomicUsize,
    one_closed: Notify,
    stopping: watch::Sender<bool>,
}

/// The permit of one open connection; returned when dropped.
#[derive(Debug)]
struct ClientPermit(Connections);

impl Connections {
    pub fn new(settings: ConnectionSettings, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            settings,
            clock,
            open: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            one_closed: Notify::new(),
            stopping: watch::Sender::new(false),
        }))
    }

    /// Closes every connection between two requests, and every other one after its answer.
    pub fn stop(&self) {
        self.0.stopping.send_replace(true);
    }

    /// Returns when no connection is open.
    pub async fn all_closed(&self) {
        let mut closed = pin!(self.0.one_closed.notified());
        loop {
            closed.as_mut().enable();
            if self.open() == 0 {
                return;
            }
            closed.as_mut().await;
            closed.set(self.0.one_closed.notified());
        }
    }

    fn open(&self) -> usize {
        self.0.open.load(Ordering::SeqCst)
    }

    fn is_stopping(&self) -> bool {
        *self.0.stopping.borrow()
    }

    /// A permit, or none when all are taken.
    fn admit(&self) -> Option<ClientPermit> {
        // The permit is made first: if it is one too many, dropping it restores the count.
        let before = self.0.open.fetch_add(1, Ordering::SeqCst);
        let permit = ClientPermit(self.clone());
        (before < self.0.settings.limit).then_some(permit)
    }

    /// How long a connection may be idle from now on.
    fn keep_alive(&self) -> Duration {
        let settings = &self.0.settings;
        if self.open().saturating_mul(4) > settings.limit.saturating_mul(3) {
            settings.keep_alive.min(SCARCE_KEEP_ALIVE)
        } else {
            settings.keep_alive
        }
    }
}

impl Drop for ClientPermit {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::SeqCst);
        self.0.0.one_closed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn connections(limit: usize) -> Connections {
        let settings = ConnectionSettings {
            limit,
            client_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
        };
        Connections::new(settings, Clock)
    }

    #[test]
    fn there_are_as_many_permits_as_the_limit_and_a_returned_one_can_be_taken_again() {
        let connections = connections(2);
        let first = connections.admit().unwrap();
        let _second = connections.admit().unwrap();
        assert!(connections.admit().is_none());
        assert!(connections.admit().is_none());
        drop(first);
        assert!(connections.admit().is_some());
    }

    #[test]
    fn idle_connections_are_kept_for_less_time_while_permits_are_scarce() {
        let connections = connections(4);
        let mut permits: Vec<_> = (0..3).map(|_| connections.admit().unwrap()).collect();
        assert_eq!(connections.keep_alive(), Duration::from_secs(75));
        permits.extend(connections.admit());
        assert_eq!(connections.keep_alive(), SCARCE_KEEP_ALIVE);
    }

    #[tokio::test]
    async fn that_all_are_closed_is_known_when_the_last_one_is() {
        let connections = connections(4);
        connections.all_closed().await;
        let (first, second) = (connections.admit(), connections.admit());
        let mut closed = pin!(connections.all_closed());
        assert!(closed.as_mut().now_or_never().is_none());
        drop(first);
        assert!(closed.as_mut().now_or_never().is_none());
        drop(second);
        closed.await;
    }
}
