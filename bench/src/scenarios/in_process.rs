//! `in-process`: synchronous and asynchronous handlers; and a healthy extension beside one that computes for seconds
//! and one whose effects are slow.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, bail};

use crate::{
    bench::Bench,
    database::Engine,
    figures::{ACKS, P50},
    host::{self, HandlerFigures, HandlersSeen},
    instance::Instance,
    measure::{self, Subject, WARM_UP},
    report::{Row, Table, as_f64, shown},
    time,
};

const NAME: &str = "in-process";
const CONNECTIONS: usize = 64;
const PER_SECOND: u32 = 200;
const HANDLED: &str = "handled/s";
const BESIDE: &[&str] = &[P50, "publish p99 ms", "handled p50 ms", "handled p99 ms"];
const LOOK: Duration = Duration::from_millis(20);
const FIRST_SLOW_ONES: u64 = 5;
const PATIENCE_SECONDS: f64 = 120.0;

pub(super) fn steps(runs: u64) -> u64 {
    5 * runs
}

/// The host, with all its extensions installed in one workspace.
struct Host {
    instance: Instance,
    workspace: String,
}

pub(super) async fn run(bench: &Bench, engine: Engine) -> Result<Vec<Table>> {
    let instance = Instance::host(bench, engine).await?;
    let workspace = instance.api.workspace("in-process").await?;
    for key in [host::COUNTER, host::BUSY, host::SLOW] {
        instance.api.install_in_process(&workspace, key).await?;
    }
    let mut host = Host { instance, workspace };
    let handlers = handlers(bench, engine, &mut host).await?;
    let beside = beside(bench, engine, &mut host).await?;
    host.instance.end().await?;
    Ok(vec![handlers, beside])
}

async fn handlers(bench: &Bench, engine: Engine, host: &mut Host) -> Result<Table> {
    let mut rows = [Row::named("synchronous"), Row::named("asynchronous")];
    for run in 1..=bench.runs {
        for (key, row) in [host::SYNC_EVENT, host::ASYNC_EVENT].into_iter().zip(&mut rows) {
            let what = format!("in-process, {}, {} handler, run {run}", engine.name(), row.name);
            bench.progress.doing(&what);
            let before = of(key, host.seen().await?).count;
            let requests = Arc::new(vec![host.instance.request(&host.workspace, key)?]);
            let closed =
                measure::closed(host.subject(), requests, CONNECTIONS, WARM_UP, bench.lasting()).await?;
            let seen = host.handled(key, before + closed.total).await?;
            closed.add_to(row);
            let count = closed.total - closed.before;
            row.add(HANDLED, as_f64(count) / time::seconds(closed.start, seen.last));
            bench
                .progress
                .done(&what, &format!("{} {ACKS}", shown(closed.acks_per_second)));
        }
    }
    Ok(Table {
        scenario: NAME,
        database: engine,
        title: "Handlers in the process".to_owned(),
        load: format!(
            "Closed loop, {CONNECTIONS} connections; publishers wait for a synchronous handler. `handled` is until the \
             last event is"
        ),
        rows_are: "handler",
        rows: rows.to_vec(),
        notes: Vec::new(),
    })
}

async fn beside(bench: &Bench, engine: Engine, host: &mut Host) -> Result<Table> {
    let neighbours = [None, Some(host::BUSY_EVENT), Some(host::SLOW_EVENT)];
    let mut rows = ["none", "computes", "slow effects"].map(Row::named);
    for run in 1..=bench.runs {
        for (neighbour, row) in neighbours.into_iter().zip(&mut rows) {
            let what = format!("in-process, {}, beside: {}, run {run}", engine.name(), row.name);
            bench.progress.doing(&what);
            let seen = host.seen().await?;
            let mut theirs = neighbour.map_or(0, |key| of(key, seen).count);
            if let Some(key) = neighbour {
                if key == host::SLOW_EVENT {
                    // The engine must have seen that these effects are slow.
                    theirs += host.publish(key, FIRST_SLOW_ONES).await?;
                    host.handled(key, theirs).await?;
                }
                theirs += host.publish(key, enough(key, engine, bench.seconds)).await?;
            }
            let request = host.instance.request(&host.workspace, host::ASYNC_EVENT)?;
            let few = measure::paced(&host.instance, &request, PER_SECOND, WARM_UP)
                .await?
                .count();
            let before = seen.asynchronous.count + few;
            host.handled(host::ASYNC_EVENT, before).await?;
            host.instance.server_mut()?.tell(host::FORGET)?;
            let published = measure::paced(&host.instance, &request, PER_SECOND, bench.lasting()).await?;
            let handled = host
                .handled(host::ASYNC_EVENT, before + published.count())
                .await?;
            row.add(BESIDE[0], published.percentile(50.0));
            row.add(BESIDE[1], published.percentile(99.0));
            row.add(BESIDE[2], handled.p50);
            row.add(BESIDE[3], handled.p99);
            bench
                .progress
                .done(&what, &format!("handled after {} ms (p99)", shown(handled.p99)));
            if let Some(key) = neighbour {
                host.handled(key, theirs).await?;
            }
        }
    }
    let [without, computes, slow] = rows;
    let ratios = [("computes to none", &computes), ("slow effects to none", &slow)]
        .map(|(name, row)| row.ratios_to(name, &without, BESIDE));
    Ok(Table {
        scenario: "in-process-neighbours",
        database: engine,
        title: "A healthy handler beside others that are not".to_owned(),
        load: format!(
            "Open loop at {PER_SECOND} events/s for an asynchronous handler, corrected for coordinated omission; \
             beside none, beside an extension whose handlers compute for 2 s each, as many at a time as there are \
             cores, and beside one whose effects take 150 ms and which had {FIRST_SLOW_ONES} of them before"
        ),
        rows_are: "the other extension",
        rows: [without, computes, slow].into_iter().chain(ratios).collect(),
        notes: Vec::new(),
    })
}

/// The number of events that keeps the other extension busy during a run.
fn enough(key: &str, engine: Engine, seconds: u64) -> u64 {
    let lasting = seconds + WARM_UP.as_secs() + 1;
    match (key, engine) {
        // Each takes 2 s, and as many are handled at the same time as there are cores.
        (host::BUSY_EVENT, _) => lasting,
        // Slow effects run one at a time, beside the writer.
        (_, Engine::Postgres) => 5 * lasting,
        // At most one slow effect runs in 30 s while there are other effects.
        (_, Engine::Sqlite) => lasting.div_ceil(30) + 1,
    }
}

impl Host {
    fn subject(&self) -> Subject<'_> {
        Subject {
            instance: &self.instance,
            receivers: None,
        }
    }

    /// Asks for the figures of its handlers.
    async fn seen(&mut self) -> Result<HandlersSeen> {
        let server = self.instance.server_mut()?;
        server.tell(host::TELL)?;
        loop {
            // The lines before are those of the start.
            let line = server.next_line().await?;
            if let Ok(seen) = serde_json::from_str(&line) {
                return Ok(seen);
            }
        }
    }

    /// Publishes so many events with this key.
    async fn publish(&self, key: &str, count: u64) -> Result<u64> {
        let requests = Arc::new(vec![self.instance.request(&self.workspace, key)?]);
        measure::so_many(self.subject(), requests, 1, count).await?;
        Ok(count)
    }

    /// Waits until so many of these events are handled.
    async fn handled(&mut self, key: &str, count: u64) -> Result<HandlerFigures> {
        let start = time::nanos();
        loop {
            let seen = of(key, self.seen().await?);
            if seen.count >= count {
                return Ok(seen);
            }
            if time::seconds(start, time::nanos()) > PATIENCE_SECONDS {
                bail!(
                    "{} of {count} events with the key {key} are handled after {PATIENCE_SECONDS} s",
                    seen.count
                );
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn of(key: &str, seen: HandlersSeen) -> HandlerFigures {
    match key {
        host::SYNC_EVENT => seen.sync,
        host::BUSY_EVENT => seen.busy,
        host::SLOW_EVENT => seen.slow,
        _ => seen.asynchronous,
    }
}
