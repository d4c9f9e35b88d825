//! Runs of load, and their figures.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    cost::{Cost, CpuTime},
    event::Request,
    figures::{ACKS, BOTH, DELIVERIES, P50},
    instance::Instance,
    latency::Latencies,
    load::{ClosedLoop, OpenLoop, RunningLoad},
    proc_fs,
    receivers::Receivers,
    report::{Row, as_f64},
    time,
};

/// The time at the start of a run that is not measured.
pub(crate) const WARM_UP: Duration = Duration::from_secs(1);
/// The time after the last delivery in which the server writes the outcome.
const SETTLING: Duration = Duration::from_millis(300);
/// The interval at which a load is checked.
const LOOK: Duration = Duration::from_millis(20);

/// The server that is measured.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) instance: &'a Instance,
    /// The receivers, and the number of deliveries of each event. `None` if no deliveries go to receivers of the bench.
    pub(crate) receivers: Option<(&'a Receivers, u64)>,
}

/// The figures of a run of closed-loop load.
#[derive(Debug)]
pub(crate) struct ClosedRun {
    /// When the measured part began.
    pub(crate) start: u64,
    /// Events acknowledged in all, including the warm-up.
    pub(crate) total: u64,
    /// Events acknowledged before the measured part began.
    pub(crate) before: u64,
    pub(crate) acks_per_second: f64,
    /// Counted until the last one has come, which may be long after the load has ended.
    pub(crate) deliveries: Option<Deliveries>,
    pub(crate) publish: Latencies,
    pub(crate) cost: Cost,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Deliveries {
    pub(crate) per_second: f64,
    pub(crate) lag_milliseconds: f64,
    pub(crate) of_each_event: u64,
}

/// Publishes for so long, and waits until all events are delivered.
pub(crate) async fn closed(
    subject: Subject<'_>,
    requests: Arc<Vec<Request>>,
    connections: usize,
    warm_up: Duration,
    lasting: Duration,
) -> Result<ClosedRun> {
    let id = subject.instance.server()?.id();
    let delivered_before = subject.delivered();
    proc_fs::forget_peak(id);
    let running = ClosedLoop {
        address: subject.instance.server()?.address,
        requests,
        connections,
        most: None,
    }
    .start()?;
    pass(&running, warm_up).await;
    running.measure();
    let (start, before, spent) = (
        time::nanos(),
        running.acknowledged(),
        CpuTime::now(subject.instance)?,
    );
    let delivered_at_start = subject.delivered();
    pass(&running, lasting).await;
    let (end, acknowledged) = (time::nanos(), running.acknowledged() - before);
    running.stop();
    let (total, publish) = running.ended().await?;
    let deliveries = match subject.receivers {
        Some((receivers, of_each_event)) => {
            receivers
                .arrived(delivered_before + total * of_each_event)
                .await?;
            let count = receivers.delivered() - delivered_at_start;
            Some(Deliveries {
                per_second: as_f64(count) / time::seconds(start, receivers.tally().last()).max(0.001),
                lag_milliseconds: time::seconds(end, receivers.tally().last()) * 1000.0,
                of_each_event,
            })
        }
        None => None,
    };
    tokio::time::sleep(SETTLING).await;
    Ok(ClosedRun {
        start,
        total,
        before,
        acks_per_second: as_f64(acknowledged) / time::seconds(start, end),
        deliveries,
        publish,
        cost: spent.cost(subject.instance, total - before)?,
    })
}

/// Publishes so many events as fast as they are acknowledged, and waits until all are delivered. Returns the seconds
/// from the first publish to the last delivery.
pub(crate) async fn so_many(
    subject: Subject<'_>,
    requests: Arc<Vec<Request>>,
    connections: usize,
    count: u64,
) -> Result<(f64, Cost)> {
    proc_fs::forget_peak(subject.instance.server()?.id());
    let delivered_before = subject.delivered();
    let spent = CpuTime::now(subject.instance)?;
    let start = time::nanos();
    let running = ClosedLoop {
        address: subject.instance.server()?.address,
        requests,
        connections,
        most: Some(count),
    }
    .start()?;
    let (total, _) = running.ended().await?;
    let mut end = time::nanos();
    if let Some((receivers, of_each_event)) = subject.receivers {
        receivers
            .arrived(delivered_before + total * of_each_event)
            .await?;
        end = receivers.tally().last();
    }
    tokio::time::sleep(SETTLING).await;
    Ok((time::seconds(start, end), spent.cost(subject.instance, total)?))
}

/// The figures of a run of open-loop load.
#[derive(Debug)]
pub(crate) struct OpenRun {
    pub(crate) acknowledged: Latencies,
    pub(crate) received: Latencies,
    pub(crate) cost: Cost,
}

/// Publishes at a rate, and waits until all events are delivered.
pub(crate) async fn open(
    subject: Subject<'_>,
    request: &Request,
    per_second: u32,
    lasting: Duration,
) -> Result<OpenRun> {
    let instance = subject.instance;
    let (receivers, of_each_event) = subject
        .receivers
        .context("open-loop load needs receivers of the bench")?;
    at_rate(instance, request, per_second, WARM_UP, receivers, of_each_event).await?;
    receivers.tally().start_timing();
    proc_fs::forget_peak(instance.server()?.id());
    let spent = CpuTime::now(instance)?;
    let acknowledged = at_rate(instance, request, per_second, lasting, receivers, of_each_event).await?;
    Ok(OpenRun {
        received: receivers.tally().take_latencies(),
        cost: spent.cost(instance, acknowledged.count())?,
        acknowledged,
    })
}

async fn at_rate(
    instance: &Instance,
    request: &Request,
    per_second: u32,
    lasting: Duration,
    receivers: &Receivers,
    of_each_event: u64,
) -> Result<Latencies> {
    let before = receivers.delivered();
    let acknowledged = paced(instance, request, per_second, lasting).await?;
    receivers
        .arrived(before + acknowledged.count() * of_each_event)
        .await?;
    Ok(acknowledged)
}

/// Publishes at a rate. Returns the latencies of the acknowledgements.
pub(crate) async fn paced(
    instance: &Instance,
    request: &Request,
    per_second: u32,
    lasting: Duration,
) -> Result<Latencies> {
    let load = OpenLoop {
        address: instance.server()?.address,
        requests: Arc::new(vec![request.clone()]),
        per_second,
        lasting,
    };
    load.run().await
}

/// Waits for so long, or until the load has ended by itself.
async fn pass(running: &RunningLoad, time: Duration) {
    let start = time::nanos();
    while !running.has_ended() && time::seconds(start, time::nanos()) < time.as_secs_f64() {
        tokio::time::sleep(LOOK.min(time)).await;
    }
}

impl Subject<'_> {
    fn delivered(&self) -> u64 {
        self.receivers.map_or(0, |(receivers, _)| receivers.delivered())
    }
}

impl ClosedRun {
    /// Adds this run's figures.
    pub(crate) fn add_to(&self, row: &mut Row) {
        row.add(ACKS, self.acks_per_second);
        if let Some(deliveries) = self.deliveries {
            row.add(DELIVERIES, deliveries.per_second);
            let events = deliveries.per_second / as_f64(deliveries.of_each_event);
            row.add(BOTH, events.min(self.acks_per_second));
            row.add("lag ms", deliveries.lag_milliseconds);
        }
        row.add(P50, self.publish.percentile(50.0));
        row.add("p99 ms", self.publish.percentile(99.0));
        row.add("p99.9 ms", self.publish.percentile(99.9));
        self.cost.add_to(row);
    }
}
