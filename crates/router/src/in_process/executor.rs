//! The event executor: the threads on which handlers run.
//!
//! Each extension has threads of its own, some for its synchronous handlers, for which publishers wait, and others for
//! its asynchronous handlers. A handler that computes or blocks its thread therefore delays only handlers of its own
//! extension and kind. It delays neither publishers of other events, nor deliveries over HTTP, nor other extensions.
//! The threads are arbiters, started when they are first needed, so that handlers may use what needs an actix runtime.

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

/// The kind of a handler, which decides on which threads it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HandlerKind {
    /// A publisher waits.
    Synchronous,
    Asynchronous,
}

/// All threads of all extensions.
pub(crate) struct EventExecutor {
    /// Threads of each extension for each kind of handler.
    threads: usize,
    /// Handlers of one extension and kind that run at a time, over all workspaces.
    concurrency: usize,
    pools: Mutex<HashMap<(String, HandlerKind), Arc<Pool>>>,
    stopped: AtomicBool,
}

/// The threads of one extension for one kind of handler.
struct Pool {
    workers: Vec<Worker>,
    permits: Semaphore,
}

struct Worker {
    /// Replaced where a handler has ended it.
    arbiter: Mutex<Arbiter>,
    /// Handlers that run on it or wait for it.
    busy: Arc<AtomicUsize>,
}

/// Why it is not known whether work has been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotDone {
    /// Its thread did not begin with it in time, or is blocked by it.
    Stuck,
    /// Its thread has ended while it ran, which only a handler can cause. Another thread takes its place.
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

    /// Runs the future that `start` returns on the least busy thread of the extension. First waits for a permit,
    /// without a limit, and then for the end of the work, for at most `patience`. Dropping the returned future ends
    /// the work at its next `await`.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        extension: &str,
        kind: HandlerKind,
        patience: Duration,
        start: impl FnOnce() -> LocalBoxFuture<'static, T> + Send + 'static,
    ) -> Result<T, NotDone> {
        let pool = self.pool(extension, kind);
        // The semaphore is never closed.
        let _permit = pool.permits.acquire().await;
        let (reply, answer) = oneshot::channel();
        let (abort, registration) = AbortHandle::new_pair();
        // Before the work is sent, so that the work ends with this future from the beginning.
        let _guard = AbortOnDrop(abort);
        let worker = pool.least_busy();
        let busy = Busy::new(&worker.busy);
        let sent = self.send(worker, move || {
            let work = async move {
                let _busy = busy;
                // Started only where somebody still waits for it.
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

    /// Has the worker's thread run this, or a new thread where that one has ended. False once all threads have stopped.
    fn send(&self, worker: &Worker, run: impl FnOnce() + Send + 'static) -> bool {
        let mut arbiter = locked(&worker.arbiter);
        // A thread that has ended drops what it is sent. It is sent a reference, so that the work can be sent again.
        let run = Arc::new(Mutex::new(Some(run)));
        if self.has_stopped() {
            return false;
        }
        if arbiter.spawn_fn(run_once(&run)) {
            return true;
        }
        log::error!("a handler has ended its thread; another one takes its place");
        *arbiter = Arbiter::new();
        arbiter.spawn_fn(run_once(&run))
    }

    fn has_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    fn pool(&self, extension: &str, kind: HandlerKind) -> Arc<Pool> {
        let mut pools = locked(&self.pools);
        let key = (extension.to_owned(), kind);
        let start = || Arc::new(Pool::start(self.threads, self.concurrency));
        Arc::clone(pools.entry(key).or_insert_with(start))
    }

    /// Stops the threads. Work that blocks its thread is left behind.
    pub(crate) fn stop(&self) {
        // First, so that a thread that ends from here on is not replaced.
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

    /// A thread that is blocked keeps its handlers, and gets no more while another thread has fewer.
    fn least_busy(&self) -> &Worker {
        self.workers
            .iter()
            .min_by_key(|worker| worker.busy.load(Ordering::Relaxed))
            .expect("a pool has at least one thread")
    }
}

/// Runs it, if it has not been run yet.
fn run_once<F: FnOnce() + Send + 'static>(
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
