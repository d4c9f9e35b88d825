//! The connections of clients: how many there are, and how long each may take for its part.
//!
//! `actix-http` has a time-out for the first head of a connection alone, and looks at it before it looks at
//! what has arrived meanwhile; it has none for later heads, for bodies, or for a client that does not take
//! its answer. So a connection here is a `ClientStream`, which watches over the times in which the
//! client has to act, and over nothing else: whatever has arrived is looked at first, so that a busy server
//! cuts off nobody for being slow itself. Bodies are watched where they are read, in [`super::intake`],
//! because there an answer can still say why.

mod exchange;
mod pace;
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
pub(super) use self::{exchange::layer, pace::Pace};

use pointsman_clock::Clock;

/// How long an idle connection is kept while connections are scarce.
const SCARCE_KEEP_ALIVE: Duration = Duration::from_secs(1);

/// How long a client is waited for once more when its time is up. A thread that could not run for a while
/// learns of the time first and of what has arrived meanwhile only when it asks the system again.
pub(super) const LAST_LOOK: Duration = Duration::from_millis(10);

/// What connections are held to.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionSettings {
    /// At a time, over all workers.
    pub limit: usize,
    /// For a head, and to begin with for a body and for an answer.
    pub client_timeout: Duration,
    /// Between two requests.
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
    /// Being turned away.
    refused: AtomicUsize,
    one_closed: Notify,
    stopping: watch::Sender<bool>,
}

/// The place of one connection among the others; it is free again when this is dropped.
#[derive(Debug)]
struct Place(Connections);

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

    /// A place, or none where all are taken.
    fn enter(&self) -> Option<Place> {
        // The place is made first: where it is one too many, dropping it takes the count back.
        let before = self.0.open.fetch_add(1, Ordering::SeqCst);
        let place = Place(self.clone());
        (before < self.0.settings.limit).then_some(place)
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

impl Drop for Place {
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
    fn there_are_as_many_places_as_the_limit_says_and_a_free_one_can_be_had_again() {
        let connections = connections(2);
        let first = connections.enter().unwrap();
        let _second = connections.enter().unwrap();
        assert!(connections.enter().is_none());
        assert!(connections.enter().is_none());
        drop(first);
        assert!(connections.enter().is_some());
    }

    #[test]
    fn idle_connections_are_kept_for_less_time_while_places_are_scarce() {
        let connections = connections(4);
        let mut places: Vec<_> = (0..3).map(|_| connections.enter().unwrap()).collect();
        assert_eq!(connections.keep_alive(), Duration::from_secs(75));
        places.extend(connections.enter());
        assert_eq!(connections.keep_alive(), SCARCE_KEEP_ALIVE);
    }

    #[tokio::test]
    async fn that_all_are_closed_is_known_when_the_last_one_is() {
        let connections = connections(4);
        connections.all_closed().await;
        let (first, second) = (connections.enter(), connections.enter());
        let mut closed = pin!(connections.all_closed());
        assert!(closed.as_mut().now_or_never().is_none());
        drop(first);
        assert!(closed.as_mut().now_or_never().is_none());
        drop(second);
        closed.await;
    }
}
