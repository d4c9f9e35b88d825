//! `fan-out`: many subscribers of each event, and what the database is written for it.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, bail};
use serde_json::json;

use crate::{
    bench::Bench,
    database::Engine,
    event::Request,
    figures::DELIVERIES,
    measure::{self, Subject},
    receivers::{Manner, Receivers},
    report::{Row, Table, as_f64, shown},
    site::Site,
    stage::KEY,
};

const NAME: &str = "fan-out";
const SUBSCRIBERS: &[usize] = &[1, 10, 100];
const CONNECTIONS: usize = 64;
/// Deliveries of a run for each second that it is to last, about.
const DELIVERIES_PER_SECOND: u64 = 12_000;
/// Events of a run in which nothing is delivered. They are published by one connection: what is written for an event
/// depends on how many share its commit.
const HELD_EVENTS: u64 = 100;
/// SQLite begins its log anew now and then; what was measured then is measured again.
const TRIES: u32 = 20;
const SETTLED: Duration = Duration::from_millis(500);

const EVENTS: &str = "events/s";
const BYTES: &str = "bytes/event";
const HELD_BYTES: &str = "log bytes/event while held";

pub(super) fn steps(runs: u64) -> u64 {
    SUBSCRIBERS.iter().map(|_| runs).sum()
}

/// So many subscribers in a workspace, and as many in another in which they are paused: there events wait, as they
/// do for a moment in the first.
struct Case {
    subscribers: usize,
    request: Request,
    held: Request,
}

pub(super) async fn run(bench: &Bench, engine: Engine) -> Result<Vec<Table>> {
    let most = SUBSCRIBERS.iter().copied().max().unwrap_or(1);
    let receivers = Receivers::start(most, Manner::Take)?;
    let site = Site::pointsman(bench, engine).await?;
    let mut cases = Vec::new();
    for subscribers in SUBSCRIBERS {
        let request = async |paused| publish_to(&site, &receivers, *subscribers, paused).await;
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
            let rate = one(bench, &site, &receivers, case, row).await?;
            bench
                .progress
                .done(&what, &format!("{} {DELIVERIES}", shown(rate)));
        }
    }
    site.end().await?;
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

/// A publish to a new workspace with so many subscribers.
async fn publish_to(site: &Site, receivers: &Receivers, subscribers: usize, paused: bool) -> Result<Request> {
    let workspace = site.api.workspace("fan-out").await?;
    for number in 0..subscribers {
        let key = format!("receiver-{number}");
        let installed = site.api.install(&workspace, &key, &receivers.url(number)).await?;
        if paused {
            site.api.change(&installed, &json!({"paused": true})).await?;
        }
    }
    site.request(&workspace, KEY)
}

/// One run of a case; its deliveries per second.
async fn one(bench: &Bench, site: &Site, receivers: &Receivers, case: &Case, row: &mut Row) -> Result<f64> {
    let id = site.server()?.id();
    let subscribers = u64::try_from(case.subscribers)?;
    let delivering = Subject {
        site,
        receivers: Some((receivers, subscribers)),
    };
    let requests = Arc::new(vec![case.request.clone()]);
    let count = (bench.seconds * DELIVERIES_PER_SECOND / subscribers).max(100);
    measure::so_many(delivering, Arc::clone(&requests), CONNECTIONS, count / 5).await?;
    let before = site.database.bytes_written(id).await?;
    let (seconds, cost) = measure::so_many(delivering, requests, CONNECTIONS, count).await?;
    let written = site.database.bytes_written(id).await? - before;
    let rate = as_f64(count * subscribers) / seconds;
    row.add(EVENTS, as_f64(count) / seconds);
    row.add(DELIVERIES, rate);
    row.add(BYTES, written / as_f64(count));
    row.add(HELD_BYTES, held(site, case).await?);
    cost.add_to(row);
    Ok(rate)
}

/// Bytes of the log for each event that nobody gets yet.
async fn held(site: &Site, case: &Case) -> Result<f64> {
    let subject = Subject {
        site,
        receivers: None,
    };
    let requests = Arc::new(vec![case.held.clone()]);
    // What the deliveries have left to be written must not be counted here.
    tokio::time::sleep(SETTLED).await;
    for _ in 0..TRIES {
        measure::so_many(subject, Arc::clone(&requests), 1, HELD_EVENTS / 10).await?;
        let before = site.database.log().await?;
        measure::so_many(subject, Arc::clone(&requests), 1, HELD_EVENTS).await?;
        if let Some(written) = site.database.log().await?.since(before) {
            return Ok(written / as_f64(HELD_EVENTS));
        }
    }
    bail!("the write-ahead log is begun anew all the time");
}
