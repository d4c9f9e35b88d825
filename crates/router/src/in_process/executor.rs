//! The event executor: the threads on which handlers run.
//!
//! Each extension has threads of its own, and asynchronous handlers have others than those that publishers wait
//! for. So a handler that computes, or blocks its thread, holds up nobody but handlers of its extension that are
//! run in the same way: neither publishers of other events, nor deliveries over HTTP, nor other extensions. The
//! threads are arbiters, started when they are first needed, so that handlers may do what actors may do.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix::prelude::*;
use futures_util::future::{AbortHandle, Abortable, LocalBoxFuture};
use tokio::{
    sync::{Semaphore, oneshot},
    time::timeout,
};

use crate::lock::locked;

/// How a handler is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Running {
    /// A publisher waits.
    Synchronous,
    Asynchronous,
}

/// All threads of all extensions.
pub(crate) struct EventExecutor {
    /// Of each extension, for each way of running.
    threads: usize,
    /// Handlers of one extension at a time, over all workspaces, for each way of running.
    concurrency: usize,
    pools: Mutex<HashMap<(String, Running), Arc<Pool>>>,
    stopped: AtomicBool,
}

/// The threads of one extension for one way of running.
struct Pool {
    workers: Vec<Worker>,
    permits: Semaphore,
}

struct Worker {
    /// Another one where a handler has ended the last.
    arbiter: Mutex<Arbiter>,
    /// Handlers that run, or wait, on it.
    busy: Arc<AtomicUsize>,
}

/// Why work has not been done, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotDone {
    /// Its thread did not get to it, or is blocked by it.
    Stuck,
    /// Its thread has ended while it ran, which only a handler can do to it. Another one has taken its place.
    ThreadEnded,
    /// The threads of the extension have stopped: the server is shutting down.
    Stopped,
}

impl EventExecutor {
    pub(crate) fn new(threads: usize, concurrency: usize) -> Self {
        Self {
            threads: threads.max(1),
            concurrency: concurrency.max(1),
            pools: Mutex::default(),
            stopped: AtomicBool::new(false),
        }
    }

    /// Runs what `start` returns on the least busy thread of the extension. Waits first while as many of its
    /// handlers run as may, and then for `patience`. Dropping the returned future ends the work where it next
    /// waits for something.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        extension: &str,
        running: Running,
        patience: Duration,
        start: impl FnOnce() -> LocalBoxFuture<'static, T> + Send + 'static,
    ) -> Result<T, NotDone> {
        let pool = self.pool(extension, running);
        // The semaphore is never closed.
        let _permit = pool.permits.acquire().await;
        let (reply, answer) = oneshot::channel();
        let (abort, registration) = AbortHandle::new_pair();
        // Before the work is sent: from here on it is ended with this future.
        let _guard = AbortOnDrop(abort);
        let worker = pool.least_busy();
        let busy = Busy::new(&worker.busy);
        let sent = self.send(worker, move || {
            let work = async move {
                let _busy = busy;
                // Built only when its turn has come: by then nobody may wait for it any more.
                if !reply.is_closed() {
                    let done = start().await;
                    // Who waited may have gone.
                    let _ = reply.send(done);
                }
            };
            actix::spawn(Abortable::new(work, registration));
        });
        if !sent {
            return Err(NotDone::Stopped);
        }
        match timeout(patience, answer).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) if self.has_stopped() => Err(NotDone::Stopped),
            Ok(Err(_)) => Err(NotDone::ThreadEnded),
            Err(_) => Err(NotDone::Stuck),
        }
    }

    /// Has the worker's thread run this, on a new thread where the last has ended. False once all have stopped.
    fn send(&self, worker: &Worker, run: impl FnOnce() + Send + 'static) -> bool {
        let mut arbiter = locked(&worker.arbiter);
        // A thread that has ended drops what it is sent, so that it is given no more than a way to it.
        let run = Arc::new(Mutex::new(Some(run)));
        if self.has_stopped() {
            return false;
        }
        if arbiter.spawn_fn(way_to(&run)) {
            return true;
        }
        log::error!("a handler has ended its thread; another one takes its place");
        *arbiter = Arbiter::new();
        arbiter.spawn_fn(way_to(&run))
    }

    fn has_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    fn pool(&self, extension: &str, running: Running) -> Arc<Pool> {
        let mut pools = locked(&self.pools);
        let key = (extension.to_owned(), running);
        let start = || Arc::new(Pool::start(self.threads, self.concurrency));
        Arc::clone(pools.entry(key).or_insert_with(start))
    }

    /// Stops the threads. Work that blocks its thread is left behind.
    pub(crate) fn stop(&self) {
        // First: a thread that ends from here on is not replaced.
        self.stopped.store(true, Ordering::SeqCst);
        for pool in locked(&self.pools).values() {
            for worker in &pool.workers {
                locked(&worker.arbiter).stop();
            }
        }
    }
}

impl fmt::Debug for EventExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventExecutor")
            .field("threads", &self.threads)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}

impl Pool {
    fn start(threads: usize, concurrency: usize) -> Self {
        let worker = |_| Worker {
            arbiter: Mutex::new(Arbiter::new()),
            busy: Arc::default(),
        };
        Self {
            workers: (0..threads).map(worker).collect(),
            permits: Semaphore::new(concurrency),
        }
    }

    /// A thread that is blocked keeps what it has, and gets no more while another has less.
    fn least_busy(&self) -> &Worker {
        self.workers
            .iter()
            .min_by_key(|worker| worker.busy.load(Ordering::Relaxed))
            .expect("a pool has at least one thread")
    }
}

/// Runs it, if nobody else has.
fn way_to<F: FnOnce() + Send + 'static>(
    run: &Arc<Mutex<Option<F>>>,
) -> impl FnOnce() + Send + 'static + use<F> {
    let run = Arc::clone(run);
    move || {
        let run = locked(&run).take();
        if let Some(run) = run {
            run();
        }
    }
}

struct Busy(Arc<AtomicUsize>);

impl Busy {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
