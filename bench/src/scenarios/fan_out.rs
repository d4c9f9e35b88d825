//! `fan-out`: many subscribers of each event, and the bytes that the database writes for it.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, bail};
use serde_json::json;

use crate::{
    bench::Bench,
    database::Engine,
    event::Request,
    figures::DELIVERIES,
    instance::Instance,
    measure::{self, Subject},
    receivers::{Behavior, Receivers},
    report::{Row, Table, as_f64, shown},
    setup::KEY,
};

const NAME: &str = "fan-out";
const SUBSCRIBERS: &[usize] = &[1, 10, 100];
const CONNECTIONS: usize = 64;
/// The approximate number of deliveries for each second of a run.
const DELIVERIES_PER_SECOND: u64 = 12_000;
/// Events of a run in which nothing is delivered. One connection publishes them, because the bytes written for an event
/// depend on how many events share its commit.
const HELD_EVENTS: u64 = 100;
/// How often a measurement is repeated that SQLite has disturbed by starting its log from the beginning.
const TRIES: u32 = 20;
const SETTLED: Duration = Duration::from_millis(500);

const EVENTS: &str = "events/s";
const BYTES: &str = "bytes/event";
const HELD_BYTES: &str = "log bytes/event while held";

pub(super) fn steps(runs: u64) -> u64 {
    SUBSCRIBERS.iter().map(|_| runs).sum()
}

/// So many subscribers in a workspace, and as many in another, in which they are paused: there events wait.
struct Case {
    subscribers: usize,
    request: Request,
    held: Request,
}

pub(super) async fn run(bench: &Bench, engine: Engine) -> Result<Vec<Table>> {
    let most = SUBSCRIBERS.iter().copied().max().unwrap_or(1);
    let receivers = Receivers::start(most, Behavior::Accept)?;
    let instance = Instance::pointsman(bench, engine).await?;
    let mut cases = Vec::new();
    for subscribers in SUBSCRIBERS {
        let request = async |paused| publish_to(&instance, &receivers, *subscribers, paused).await;
        cases.push(Case {
            subscribers: *subscribers,
            request: request(false).await?,
            held: request(true).await?,
        });
    }
    let mut rows: Vec<Row> = cases
        .iter()
        .map(|case| Row::named(case.subscribers.to_string()))
        .collect();
    for run in 1..=bench.runs {
        for (case, row) in cases.iter().zip(&mut rows) {
            let what = format!(
                "fan-out, {}, {} subscribers, run {run}",
                engine.name(),
                case.subscribers
            );
            bench.progress.doing(&what);
            let rate = one(bench, &instance, &receivers, case, row).await?;
            bench
                .progress
                .done(&what, &format!("{} {DELIVERIES}", shown(rate)));
        }
    }
    instance.end().await?;
    let ratios = rows[1..]
        .iter()
        .map(|row| {
            row.ratios_to(
                format!("{} to {}", row.name, rows[0].name),
                &rows[0],
                &[EVENTS, DELIVERIES, BYTES, HELD_BYTES],
            )
        })
        .collect::<Vec<_>>();
    Ok(vec![
        Table {
            scenario: NAME,
            database: engine,
            title: "Subscribers per event".to_owned(),
            load: format!(
                "Closed loop, {CONNECTIONS} connections, so many events that there are as many deliveries in each \
                 run; the time is that until the last one has come. Bytes are those {}; `while held` are those \
                 appended to its log by one connection with all subscribers paused, so that nothing is written but \
                 what the acknowledgement needs",
                match engine {
                    Engine::Sqlite =>
                        "that the server has written to the disk, copies from its write-ahead log included",
                    Engine::Postgres => "of PostgreSQL's write-ahead log",
                }
            ),
            rows_are: "subscribers",
            rows,
            notes: Vec::new(),
        },
        Table {
            scenario: "fan-out-ratios",
            database: engine,
            title: "Subscribers per event, ratios".to_owned(),
            load: "The ratio of each pair of runs".to_owned(),
            rows_are: "subscribers",
            rows: ratios,
            notes: Vec::new(),
        },
    ])
}

/// Makes a workspace with so many subscribers. Returns a publish to it.
async fn publish_to(
    instance: &Instance,
    receivers: &Receivers,
    subscribers: usize,
    paused: bool,
) -> Result<Request> {
    let workspace = instance.api.workspace("fan-out").await?;
    for number in 0..subscribers {
        let key = format!("receiver-{number}");
        let installed = instance
            .api
            .install(&workspace, &key, &receivers.url(number))
            .await?;
        if paused {
            instance.api.change(&installed, &json!({"paused": true})).await?;
        }
    }
    instance.request(&workspace, KEY)
}

/// Measures one run of a case. Returns its deliveries per second.
async fn one(
    bench: &Bench,
    instance: &Instance,
    receivers: &Receivers,
    case: &Case,
    row: &mut Row,
) -> Result<f64> {
    let id = instance.server()?.id();
    let subscribers = u64::try_from(case.subscribers)?;
    let delivering = Subject {
        instance,
        receivers: Some((receivers, subscribers)),
    };
    let requests = Arc::new(vec![case.request.clone()]);
    let count = (bench.seconds * DELIVERIES_PER_SECOND / subscribers).max(100);
    measure::so_many(delivering, Arc::clone(&requests), CONNECTIONS, count / 5).await?;
    let before = instance.database.bytes_written(id).await?;
    let (seconds, cost) = measure::so_many(delivering, requests, CONNECTIONS, count).await?;
    let written = instance.database.bytes_written(id).await? - before;
    let rate = as_f64(count * subscribers) / seconds;
    row.add(EVENTS, as_f64(count) / seconds);
    row.add(DELIVERIES, rate);
    row.add(BYTES, written / as_f64(count));
    row.add(HELD_BYTES, held(instance, case).await?);
    cost.add_to(row);
    Ok(rate)
}

/// Measures the bytes of the log for each event that is not delivered yet.
async fn held(instance: &Instance, case: &Case) -> Result<f64> {
    let subject = Subject {
        instance,
        receivers: None,
    };
    let requests = Arc::new(vec![case.held.clone()]);
    // The outcomes of earlier deliveries must be written before the log is read.
    tokio::time::sleep(SETTLED).await;
    for _ in 0..TRIES {
        measure::so_many(subject, Arc::clone(&requests), 1, HELD_EVENTS / 10).await?;
        let before = instance.database.log().await?;
        measure::so_many(subject, Arc::clone(&requests), 1, HELD_EVENTS).await?;
        if let Some(written) = instance.database.log().await?.since(before) {
            return Ok(written / as_f64(HELD_EVENTS));
        }
    }
    bail!("SQLite has started its write-ahead log from the beginning in each of {TRIES} measurements");
}
