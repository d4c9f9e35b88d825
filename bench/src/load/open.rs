//! Open-loop load: events leave at their time, whether earlier ones are answered or not. Latency counts from the time
//! at which an event should have left. A pause of the server therefore appears in the latency of all events that it
//! delays (this corrects coordinated omission).

use std::{net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use anyhow::Result;
use tokio::{
    sync::{Mutex, mpsc},
    task::spawn_local,
};

use super::{connection::Connection, end_of, on_a_thread};
use crate::{event::Request, latency::Latencies, time};

/// More connections than are busy at the same time, unless the server pauses.
const CONNECTIONS: usize = 64;
/// The time until the first event leaves: all connections are open by then.
const START_AFTER: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct OpenLoop {
    pub(crate) address: SocketAddr,
    pub(crate) requests: Arc<Vec<Request>>,
    pub(crate) per_second: u32,
    pub(crate) lasting: Duration,
}

impl OpenLoop {
    /// The number of events.
    fn count(&self) -> u64 {
        let count = f64::from(self.per_second) * self.lasting.as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is positive and far below 2^52"
        )]
        {
            count as u64
        }
    }

    /// Publishes all events. Returns the latencies of the acknowledgements.
    pub(crate) async fn run(self) -> Result<Latencies> {
        let ended = on_a_thread("load", move || self.publish())?;
        end_of(ended).await
    }

    async fn publish(self) -> Result<Latencies> {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(Connection::open(self.address).await?);
        }
        let due = Rc::new(Mutex::new(self.pace()?));
        let requests = self.requests;
        let tasks: Vec<_> = connections
            .into_iter()
            .map(|connection| spawn_local(publish_due(connection, Arc::clone(&requests), Rc::clone(&due))))
            .collect();
        let mut all = Latencies::default();
        for task in tasks {
            all.add(&task.await??);
        }
        Ok(all)
    }

    /// Sends the number and the time of each event when it is due. It has a thread of its own: the timer of the runtime
    /// rounds up to milliseconds, and a sleeping thread is woken within some ten microseconds.
    fn pace(&self) -> Result<mpsc::UnboundedReceiver<(u64, u64)>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let (count, gap) = (self.count(), 1_000_000_000 / u64::from(self.per_second.max(1)));
        let start = time::nanos() + u64::try_from(START_AFTER.as_nanos())?;
        std::thread::Builder::new()
            .name("pace".to_owned())
            .spawn(move || {
                for number in 0..count {
                    let due = start + number * gap;
                    let wait = due.saturating_sub(time::nanos());
                    if wait > 0 {
                        std::thread::sleep(Duration::from_nanos(wait));
                    }
                    if sender.send((number, due)).is_err() {
                        return;
                    }
                }
            })?;
        Ok(receiver)
    }
}

/// Publishes the next event that is due whenever the connection is free.
async fn publish_due(
    mut connection: Connection,
    requests: Arc<Vec<Request>>,
    due: Rc<Mutex<mpsc::UnboundedReceiver<(u64, u64)>>>,
) -> Result<Latencies> {
    let mut latencies = Latencies::default();
    loop {
        let next = due.lock().await.recv().await;
        let Some((number, at)) = next else {
            return Ok(latencies);
        };
        let request = &requests[usize::try_from(number).unwrap_or(0) % requests.len()];
        connection.publish(request, at).await?;
        latencies.record(time::nanos().saturating_sub(at));
    }
}
