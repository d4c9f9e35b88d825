//! Closed-loop load beyond what a server admits: refused publishes are counted and are no errors.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Result;
use tokio::{
    sync::oneshot,
    task::{spawn_local, yield_now},
};

use super::{connection::Connection, end_of, on_a_thread};
use crate::{event::Request, latency::Latencies, time};

/// Each connection publishes as soon as its last event is answered.
#[derive(Debug)]
pub(crate) struct Overload {
    pub(crate) address: SocketAddr,
    /// Each connection sends one of them again and again.
    pub(crate) requests: Vec<Request>,
    pub(crate) connections: usize,
}

/// An overload under way. It stops when this is dropped.
pub(crate) struct RunningOverload {
    stopping: Arc<AtomicBool>,
    ended: Option<oneshot::Receiver<Result<OverloadAnswers>>>,
}

/// How the publishes of an overload were answered.
#[derive(Debug, Default)]
pub(crate) struct OverloadAnswers {
    /// With 200.
    pub(crate) admitted: Latencies,
    /// With 503.
    pub(crate) refused: Latencies,
    /// With another status, or not at all.
    pub(crate) other: u64,
}

impl Overload {
    pub(crate) fn start(self) -> Result<RunningOverload> {
        let stopping = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stopping);
        let ended = on_a_thread("overload", move || self.run(until))?;
        Ok(RunningOverload {
            stopping,
            ended: Some(ended),
        })
    }

    async fn run(self, stopping: Arc<AtomicBool>) -> Result<OverloadAnswers> {
        let tasks: Vec<_> = (0..self.connections)
            .map(|number| {
                let request = self.requests[number % self.requests.len()].clone();
                spawn_local(publish_until(self.address, request, Arc::clone(&stopping)))
            })
            .collect();
        let mut all = OverloadAnswers::default();
        for task in tasks {
            let answers = task.await?;
            all.admitted.add(&answers.admitted);
            all.refused.add(&answers.refused);
            all.other += answers.other;
        }
        Ok(all)
    }
}

/// Connects again when the server has closed the connection. The time of connecting is not part of a latency.
async fn publish_until(address: SocketAddr, request: Request, stopping: Arc<AtomicBool>) -> OverloadAnswers {
    let mut answers = OverloadAnswers::default();
    let mut kept = None;
    while !stopping.load(Ordering::Relaxed) {
        let opened = match kept.take() {
            Some(connection) => Ok(connection),
            None => Connection::open(address).await,
        };
        let Ok(mut connection) = opened else {
            answers.other += 1;
            yield_now().await;
            continue;
        };
        let sent = time::nanos();
        match connection.send(&request, sent).await {
            Ok(answered) => {
                answers.count(answered.status, time::nanos() - sent);
                kept = (!answered.closes).then_some(connection);
            }
            Err(_) => answers.other += 1,
        }
    }
    answers
}

impl OverloadAnswers {
    fn count(&mut self, status: u16, nanos: u64) {
        match status {
            200 => self.admitted.record(nanos),
            503 => self.refused.record(nanos),
            _ => self.other += 1,
        }
    }
}

impl RunningOverload {
    /// Stops the load, and waits until the requests that were sent are answered.
    pub(crate) async fn stop(mut self) -> Result<OverloadAnswers> {
        self.stopping.store(true, Ordering::Relaxed);
        match self.ended.take() {
            Some(ended) => end_of(ended).await,
            None => Ok(OverloadAnswers::default()),
        }
    }
}

impl Drop for RunningOverload {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}
