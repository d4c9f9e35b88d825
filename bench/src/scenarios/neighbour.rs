//! `neighbour`: a healthy installation beside installations that accept and never answer, in the same workspace and
//! in another.

use std::time::Duration;

use anyhow::Result;

use super::hanging::Hanging;
use crate::{
    bench::Bench,
    cost,
    database::Engine,
    event::Request,
    figures::{P50, PUBLISH, RECEIVE},
    instance::Instance,
    latency::Latencies,
    measure::{self, WARM_UP},
    receivers::{Behavior, Receivers},
    report::{Row, Table, as_f64, shown},
    setup::{KEY, Setup},
};

const NAME: &str = "neighbour";
const PER_SECOND: u32 = 500;
/// The rate of each of two workspaces that are published to at the same time.
const PER_SECOND_EACH: u32 = 250;
/// So many failures in succession do not occur.
const NO_BREAKER: &str = "1000000";
const FIGURES: &[&str] = &[P50, "publish p99 ms", "receive p50 ms", "receive p99 ms"];
const ATTEMPTS: &str = "attempts that hang";

pub(super) fn steps(runs: u64) -> u64 {
    4 * runs
}

/// A healthy installation, and what is measured of it without and with those that hang.
struct Side<'a> {
    name: &'static str,
    request: Request,
    receivers: &'a Receivers,
    rows: [Row; 2],
}

pub(super) async fn run(bench: &Bench, engine: Engine) -> Result<Vec<Table>> {
    let setup = Setup::bare_with(bench, engine, &settings(bench)).await?;
    setup.subscribe().await?;
    let hanging = Hanging::install(&setup.instance, &setup.workspace, bench.sizes.hanging).await?;
    let other = Receivers::start(1, Behavior::Accept)?;
    let mut sides = [
        Side::new("the same", setup.request()?, &setup.receivers),
        Side::new("another", elsewhere(&setup, &other).await?, &other),
    ];
    let mut rows = [Row::named("without"), Row::named("with")];
    for run in 1..=bench.runs {
        for (with, row) in [false, true].into_iter().zip(&mut rows) {
            let what = format!(
                "neighbour, {}, {} installations that hang",
                engine.name(),
                row.name
            );
            bench.progress.doing(&what);
            let attempts = hanging.attempts();
            hanging.enable(&setup.instance, with).await?;
            let found = one(bench, &setup, row).await?;
            bench.progress.done(&format!("{what}, run {run}"), &found);
            let what = format!("{what}, two workspaces, run {run}");
            bench.progress.doing(&what);
            let found = two(bench, &setup.instance, &mut sides, with).await?;
            if with {
                let attempts = as_f64(hanging.attempts() - attempts);
                sides
                    .iter_mut()
                    .for_each(|side| side.rows[1].add(ATTEMPTS, attempts));
            }
            bench.progress.done(&what, &found);
        }
    }
    let sides = sides.map(Side::into_rows).concat();
    setup.instance.end().await?;
    Ok(vec![
        one_table(bench, engine, rows),
        two_table(bench, engine, sides),
    ])
}

fn settings(bench: &Bench) -> Vec<(&'static str, String)> {
    let changed = ("DELIVERY__BREAKER_FAILURES", NO_BREAKER.to_owned());
    bench.sizes.no_breaker.then_some(changed).into_iter().collect()
}

/// Makes another workspace with a healthy installation. Returns a publish to it.
async fn elsewhere(setup: &Setup, receivers: &Receivers) -> Result<Request> {
    let api = &setup.instance.api;
    let workspace = api.workspace("elsewhere").await?;
    api.install(&workspace, "receiver", &receivers.url(0)).await?;
    setup.instance.request(&workspace, KEY)
}

/// Publishes into the workspace of the installations that hang.
async fn one(bench: &Bench, setup: &Setup, row: &mut Row) -> Result<String> {
    let open = measure::open(setup.subject(), &setup.request()?, PER_SECOND, bench.lasting()).await?;
    row.add(FIGURES[0], open.acknowledged.percentile(50.0));
    row.add(FIGURES[1], open.acknowledged.percentile(99.0));
    row.add(FIGURES[2], open.received.percentile(50.0));
    row.add(FIGURES[3], open.received.percentile(99.0));
    open.cost.add_to(row);
    Ok(received(&open.received))
}

/// Publishes into that workspace and another at the same time.
async fn two(bench: &Bench, instance: &Instance, sides: &mut [Side<'_>; 2], with: bool) -> Result<String> {
    both(instance, sides, WARM_UP).await?;
    sides
        .iter()
        .for_each(|side| side.receivers.tally().start_timing());
    let acknowledged = both(instance, sides, bench.lasting()).await?;
    let mut found = String::new();
    for (side, acknowledged) in sides.iter_mut().zip(acknowledged) {
        let taken = side.receivers.tally().take_latencies();
        let row = &mut side.rows[usize::from(with)];
        row.add_latencies(PUBLISH, &acknowledged);
        row.add_latencies(RECEIVE, &taken);
        cost::add_resident(instance, row)?;
        found = received(&taken);
    }
    Ok(found)
}

/// Publishes to both sides, and waits until all events are delivered. Returns the latencies of the acknowledgements.
async fn both(instance: &Instance, sides: &[Side<'_>; 2], lasting: Duration) -> Result<[Latencies; 2]> {
    let [near, far] = sides;
    let before = [near, far].map(|side| side.receivers.delivered());
    let (to_near, to_far) = tokio::try_join!(
        measure::paced(instance, &near.request, PER_SECOND_EACH, lasting),
        measure::paced(instance, &far.request, PER_SECOND_EACH, lasting)
    )?;
    near.receivers.arrived(before[0] + to_near.count()).await?;
    far.receivers.arrived(before[1] + to_far.count()).await?;
    Ok([to_near, to_far])
}

fn received(latencies: &Latencies) -> String {
    format!("received after {} ms (p99)", shown(latencies.percentile(99.0)))
}

impl<'a> Side<'a> {
    fn new(name: &'static str, request: Request, receivers: &'a Receivers) -> Self {
        Self {
            name,
            request,
            receivers,
            rows: ["without", "with"].map(|with| Row::named(format!("{name}, {with}"))),
        }
    }

    fn into_rows(self) -> Vec<Row> {
        let [without, with] = self.rows;
        let figures = [PUBLISH, RECEIVE].concat();
        let ratio = with.ratios_to(format!("{}, with to without", self.name), &without, &figures);
        vec![without, with, ratio]
    }
}

fn one_table(bench: &Bench, engine: Engine, rows: [Row; 2]) -> Table {
    let [without, with] = rows;
    let ratio = with.ratios_to("with to without", &without, FIGURES);
    Table {
        scenario: NAME,
        database: engine,
        title: format!("Beside {} installations that hang", bench.sizes.hanging),
        load: format!(
            "Open loop at {PER_SECOND} events/s, corrected for coordinated omission; all are in one workspace and \
             subscribed to the same events{}",
            breaker(bench)
        ),
        rows_are: "those who hang",
        rows: vec![without, with, ratio],
        notes: Vec::new(),
    }
}

fn two_table(bench: &Bench, engine: Engine, rows: Vec<Row>) -> Table {
    Table {
        scenario: "neighbour-workspaces",
        database: engine,
        title: format!(
            "Beside {} installations that hang, in the same workspace and in another",
            bench.sizes.hanging
        ),
        load: format!(
            "Open loop at {PER_SECOND_EACH} events/s into each of two workspaces at the same time, corrected for \
             coordinated omission; a healthy installation in each, and those that hang in the first{}",
            breaker(bench)
        ),
        rows_are: "workspace",
        rows,
        notes: Vec::new(),
    }
}

fn breaker(bench: &Bench) -> &'static str {
    if bench.sizes.no_breaker {
        "; their breaker does not open"
    } else {
        ""
    }
}
