//! Closed-loop load: each connection publishes as soon as its last event is acknowledged.

use std::{
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use anyhow::Result;
use tokio::{sync::oneshot, task::spawn_local};

use super::{connection::Connection, end_of, on_a_thread};
use crate::{event::Request, latency::Latencies, time};

/// The requests and the connections of a closed loop.
#[derive(Debug)]
pub(crate) struct ClosedLoop {
    pub(crate) address: SocketAddr,
    /// Sent in turn, over all connections.
    pub(crate) requests: Arc<Vec<Request>>,
    pub(crate) connections: usize,
    /// The load ends by itself after so many events.
    pub(crate) most: Option<u64>,
}

/// A load that is running.
pub(crate) struct RunningLoad {
    shared: StopOnDrop,
    ended: oneshot::Receiver<Result<Latencies>>,
}

/// Stops the load when it is dropped.
struct StopOnDrop(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    acknowledged: AtomicU64,
    /// Latencies are recorded from when this is set.
    measuring: AtomicBool,
    stopping: AtomicBool,
}

impl ClosedLoop {
    pub(crate) fn start(self) -> Result<RunningLoad> {
        let shared = Arc::<Shared>::default();
        let state = Arc::clone(&shared);
        let ended = on_a_thread("load", move || self.run(state))?;
        Ok(RunningLoad {
            shared: StopOnDrop(shared),
            ended,
        })
    }

    async fn run(self, shared: Arc<Shared>) -> Result<Latencies> {
        let (load, next) = (Rc::new(self), Rc::new(std::cell::Cell::new(0)));
        let mut connections = Vec::new();
        for _ in 0..load.connections {
            connections.push(Connection::open(load.address).await?);
        }
        let latencies = Rc::new(std::cell::RefCell::new(Latencies::default()));
        let tasks: Vec<_> = connections
            .into_iter()
            .map(|connection| {
                let publisher = Publisher {
                    connection,
                    load: Rc::clone(&load),
                    next: Rc::clone(&next),
                    latencies: Rc::clone(&latencies),
                };
                spawn_local(publisher.run(Arc::clone(&shared)))
            })
            .collect();
        for task in tasks {
            if let Err(error) = task.await? {
                shared.stopping.store(true, Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(latencies.take())
    }
}

struct Publisher {
    connection: Connection,
    load: Rc<ClosedLoop>,
    next: Rc<std::cell::Cell<u64>>,
    latencies: Rc<std::cell::RefCell<Latencies>>,
}

impl Publisher {
    async fn run(mut self, shared: Arc<Shared>) -> Result<()> {
        let count = self.load.requests.len();
        while !shared.stopping.load(Ordering::Relaxed) {
            let number = self.next.get();
            if self.load.most.is_some_and(|most| number >= most) {
                break;
            }
            self.next.set(number + 1);
            let request = &self.load.requests[usize::try_from(number).unwrap_or(0) % count];
            let measured = shared.measuring.load(Ordering::Relaxed);
            let sent = time::nanos();
            self.connection.publish(request, sent).await?;
            if measured {
                self.latencies.borrow_mut().record(time::nanos() - sent);
            }
            shared.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl RunningLoad {
    /// Events acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.shared.0.acknowledged.load(Ordering::Relaxed)
    }

    pub(crate) fn measure(&self) {
        self.shared.0.measuring.store(true, Ordering::Relaxed);
    }

    /// Whether the load has ended by itself or with an error.
    pub(crate) fn has_ended(&self) -> bool {
        !self.ended.is_empty() || self.ended.is_terminated()
    }

    /// Stops the load. Requests that were sent are still answered.
    pub(crate) fn stop(&self) {
        self.shared.0.stopping.store(true, Ordering::Relaxed);
    }

    /// Waits for the end. Returns how many events were acknowledged in all, and the latencies of those that were
    /// measured.
    pub(crate) async fn ended(self) -> Result<(u64, Latencies)> {
        let latencies = end_of(self.ended).await?;
        Ok((self.shared.0.acknowledged.load(Ordering::Relaxed), latencies))
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stopping.store(true, Ordering::Relaxed);
    }
}
