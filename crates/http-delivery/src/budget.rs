//! How many connections all deliveries together may use, and who is next when there are not enough.
//!
//! Every attempt needs a [`ConnectionPermit`], taken before its time-out starts: an installation that waits for one
//! uses up no attempt. A permit stands for one connection in use. Permits are given by these rules:
//!
//! | permits in use | who gets one |
//! | --- | --- |
//! | less than half | an installation that has less than a quarter of all |
//! | up to three quarters | an installation with less than an equal share of these and less than a quarter of all |
//! | up to all | an installation that has less than two, so that services that hang cannot take the last ones |
//!
//! Of the installations that wait, the one with the fewest permits is next; among equals, the one that came first.
//!
//! A connection that is kept for the next delivery needs an [`IdleSlot`] instead of a permit; there are half as many
//! idle slots as connections. A delivery takes it before its connection is made, and the connection has it from then
//! on, so that no race keeps more connections than there are idle slots. Where none is left, deliveries ask the service
//! to close.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::oneshot;

use pointsman_domain::id::InstallationId;

/// Permits that every installation can have while any are left.
const RESERVED_EACH: usize = 2;

/// Connections for all external deliveries. Cheap to clone.
#[derive(Clone)]
pub struct ConnectionBudget {
    inner: Arc<Inner>,
}

struct Inner {
    most_permits: usize,
    most_kept: usize,
    kept: Arc<AtomicUsize>,
    sockets: Arc<AtomicUsize>,
    permits: Mutex<Permits>,
}

#[derive(Default)]
struct Permits {
    in_use: usize,
    holders: HashMap<InstallationId, Holder>,
    /// The installations that wait, in the order in which they are served: by their permits, then by when they began to
    /// wait with that number. Each has one entry.
    queue: BTreeSet<(usize, u64, InstallationId)>,
    arrivals: u64,
}

/// The share of the connections from which an attempt takes its permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// The installation's own share.
    Installation,
    /// The share of the tests of all installations together, so that a test does not wait behind the deliveries of a
    /// service that hangs.
    Tests,
}

/// An installation that has permits or waits for some.
#[derive(Default)]
struct Holder {
    held: usize,
    waiting: VecDeque<oneshot::Sender<ConnectionPermit>>,
    /// Its key in the queue while `waiting` is not empty.
    queued: Option<(usize, u64)>,
}

/// The right to one connection, given back when dropped.
#[must_use = "it is given back when dropped"]
pub struct ConnectionPermit {
    inner: Arc<Inner>,
    installation: InstallationId,
}

/// The right to keep one connection after its delivery; given back when dropped.
#[derive(Debug)]
#[must_use = "it is given back when dropped"]
pub(super) struct IdleSlot(Arc<AtomicUsize>);

/// An open socket, counted until dropped.
#[derive(Debug)]
pub(super) struct Socket(Arc<AtomicUsize>);

impl ConnectionBudget {
    /// A budget of so many connections at once, but at least 2.
    pub fn new(most_connections: usize) -> Self {
        let most_kept = most_connections / 2;
        let inner = Inner {
            most_permits: (most_connections - most_kept).max(2),
            most_kept,
            kept: Arc::default(),
            sockets: Arc::default(),
            permits: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Waits until the installation may use one more connection.
    pub async fn permit(&self, installation: InstallationId) -> ConnectionPermit {
        loop {
            let waiting = match self.inner.take_or_wait(installation) {
                Ok(permit) => return permit,
                Err(waiting) => waiting,
            };
            // An error would mean that the queue was dropped, which this handle holds.
            if let Ok(permit) = waiting.await {
                return permit;
            }
        }
    }

    /// An idle slot for one more connection that is to be kept; none where all are taken.
    pub(super) fn idle_slot(&self) -> Option<IdleSlot> {
        let one_more = |kept| (kept < self.inner.most_kept).then_some(kept + 1);
        self.inner
            .kept
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()?;
        Some(IdleSlot(Arc::clone(&self.inner.kept)))
    }

    pub(super) fn socket(&self) -> Socket {
        self.inner.sockets.fetch_add(1, Ordering::Relaxed);
        Socket(Arc::clone(&self.inner.sockets))
    }

    /// Open sockets, in use and kept.
    pub fn sockets(&self) -> usize {
        self.inner.sockets.load(Ordering::Relaxed)
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Permits> {
        self.permits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_or_wait(
        self: &Arc<Self>,
        installation: InstallationId,
    ) -> Result<ConnectionPermit, oneshot::Receiver<ConnectionPermit>> {
        let mut permits = self.lock();
        let holder = permits.holders.entry(installation).or_default();
        let (held, is_first) = (holder.held, holder.waiting.is_empty());
        if is_first && permits.may_take(held, self.most_permits) {
            permits.give(installation);
            return Ok(self.permit(installation));
        }
        let (sender, receiver) = oneshot::channel();
        permits.wait(installation, sender);
        Err(receiver)
    }

    fn permit(self: &Arc<Self>, installation: InstallationId) -> ConnectionPermit {
        ConnectionPermit {
            inner: Arc::clone(self),
            installation,
        }
    }

    fn give_back(self: &Arc<Self>, installation: InstallationId) {
        // Dropped after the lock is released: a permit whose waiter is gone is given back by its own drop, which locks.
        let mut refused = Vec::new();
        let mut permits = self.lock();
        permits.take_back(installation);
        while let Some((next, sender)) = permits.next(self.most_permits) {
            permits.give(next);
            refused.extend(sender.send(self.permit(next)).err());
        }
        drop(permits);
    }
}

impl Permits {
    /// Whether an installation with `held` permits may have one more.
    fn may_take(&self, held: usize, most: usize) -> bool {
        let quarter = most / 4;
        let for_all = most - quarter;
        if self.in_use >= most {
            false
        } else if held < RESERVED_EACH {
            true
        } else if self.in_use < most / 2 {
            held < quarter
        } else {
            self.in_use < for_all && held < quarter.min(for_all / self.holders.len().max(1))
        }
    }

    fn give(&mut self, installation: InstallationId) {
        self.in_use += 1;
        self.change(installation, |holder| holder.held += 1);
    }

    fn take_back(&mut self, installation: InstallationId) {
        self.in_use -= 1;
        self.change(installation, |holder| holder.held -= 1);
    }

    fn wait(&mut self, installation: InstallationId, sender: oneshot::Sender<ConnectionPermit>) {
        self.change(installation, |holder| {
            // The waiters of a lane that has ended are at the front.
            while holder.waiting.front().is_some_and(oneshot::Sender::is_closed) {
                holder.waiting.pop_front();
            }
            holder.waiting.push_back(sender);
        });
    }

    /// The waiter that gets the next permit, if there is one to give.
    fn next(&mut self, most: usize) -> Option<(InstallationId, oneshot::Sender<ConnectionPermit>)> {
        loop {
            let &(held, _, installation) = self.queue.first()?;
            // All others have at least as many.
            if !self.may_take(held, most) {
                return None;
            }
            let mut found = None;
            self.change(installation, |holder| {
                while let Some(sender) = holder.waiting.pop_front() {
                    if !sender.is_closed() {
                        found = Some((installation, sender));
                        break;
                    }
                }
            });
            if found.is_some() {
                return found;
            }
        }
    }

    /// Changes a holder, and moves it in the queue accordingly.
    fn change(&mut self, installation: InstallationId, change: impl FnOnce(&mut Holder)) {
        let holder = self.holders.entry(installation).or_default();
        let before = holder.queued.take();
        if let Some((held, since)) = before {
            self.queue.remove(&(held, since, installation));
        }
        change(holder);
        if !holder.waiting.is_empty() {
            let place = before.filter(|(held, _)| *held == holder.held);
            let (held, since) = place.unwrap_or_else(|| {
                self.arrivals += 1;
                (holder.held, self.arrivals)
            });
            holder.queued = Some((held, since));
            self.queue.insert((held, since, installation));
        } else if holder.held == 0 {
            self.holders.remove(&installation);
        }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.inner.give_back(self.installation);
    }
}

impl Drop for IdleSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for ConnectionBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionBudget")
            .field("most_permits", &self.inner.most_permits)
            .field("most_kept", &self.inner.most_kept)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ConnectionPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConnectionPermit")
            .field(&self.installation)
            .finish()
    }
}

#[cfg(test)]
mod tests;
