//! `backlog`: a million events that wait for one service: when the server starts with them, and while that service is
//! down.

use std::time::Duration;

use anyhow::Result;

use super::outage::{self, Held};
use crate::{
    bench::Bench,
    cost::{self, Spent},
    database::Engine,
    figures::{DELIVERIES, START_UP},
    measure::{self, WARM_UP},
    report::{Row, Table, as_f64, counted, shown},
    stage::Stage,
    time,
};

const NAME: &str = "backlog";
/// The drain is one run: its spread is that of its parts.
const PARTS: u64 = 4;
const CONNECTIONS: usize = 64;
const IDLE: Duration = Duration::from_secs(5);

pub(super) fn steps(runs: u64) -> u64 {
    runs + 4 + outage::steps(Held::UndeliveredEvents, runs)
}

pub(super) async fn run(bench: &Bench, engine: Engine) -> Result<Vec<Table>> {
    let mut stage = Stage::pointsman(bench, engine).await?;
    let mut first = Row::named("idle, first start");
    idle(bench, engine, &stage, &mut first).await?;
    let live = live(bench, engine, &stage).await?;
    let mut again = Row::named("idle, started again");
    stage.site.stop().await?;
    again.add(START_UP, stage.site.start_again().await?);
    idle(bench, engine, &stage, &mut again).await?;
    fill(bench, engine, &mut stage).await?;
    let mut drain = Row::named(format!("drain of {}", counted(bench.sizes.events)));
    drained(bench, engine, &mut stage, &mut drain).await?;
    stage.site.end().await?;
    let mut ratio = Row::named("drain to live");
    let median = |row: &Row| {
        row.figure(DELIVERIES)
            .map_or(f64::NAN, crate::report::Figure::median)
    };
    ratio.add(DELIVERIES, median(&drain) / median(&live));
    let down = outage::table(bench, engine, "backlog-down", Held::UndeliveredEvents).await?;
    let started = Table {
        scenario: NAME,
        database: engine,
        title: "After an outage".to_owned(),
        load: format!(
            "`live` is closed loop, {CONNECTIONS} connections, one subscriber. The backlog was filled in by SQL while \
             the server was stopped; `start-up` is from the start of the process until it is ready"
        ),
        rows_are: "",
        rows: vec![first, again, live, drain, ratio],
        notes: vec![format!(
            "The drain is 1 run; the spread of its deliveries/s is that of its {PARTS} parts. `resident` is measured \
             when the server has had nothing to do for {} s: at its first start, which hashes a password and answers \
             one log-in (Argon2 takes 19 MiB for each), and started again.",
            IDLE.as_secs()
        )],
    };
    Ok(vec![started, down])
}

/// The memory of a server that has nothing to do.
async fn idle(bench: &Bench, engine: Engine, stage: &Stage, row: &mut Row) -> Result<()> {
    let what = format!("backlog, {}, {}", engine.name(), row.name);
    bench.progress.doing(&what);
    tokio::time::sleep(IDLE).await;
    let memory = cost::add_resident(&stage.site, row)?;
    bench.progress.done(&what, &format!("{} MiB", shown(memory)));
    Ok(())
}

async fn live(bench: &Bench, engine: Engine, stage: &Stage) -> Result<Row> {
    let mut row = Row::named("live");
    for run in 1..=bench.runs {
        let what = format!("backlog, {}, live, run {run}", engine.name());
        bench.progress.doing(&what);
        let (subject, requests) = (stage.subject(), stage.requests()?);
        let closed = measure::closed(subject, requests, CONNECTIONS, WARM_UP, bench.lasting()).await?;
        let rate = closed
            .deliveries
            .map_or(f64::NAN, |deliveries| deliveries.per_second);
        row.add(DELIVERIES, rate);
        closed.cost.add_to(&mut row);
        bench
            .progress
            .done(&what, &format!("{} {DELIVERIES}", shown(rate)));
    }
    Ok(row)
}

/// Fills the log of the server, which is stopped for it.
async fn fill(bench: &Bench, engine: Engine, stage: &mut Stage) -> Result<()> {
    let what = format!(
        "backlog, {}, filling in {}",
        engine.name(),
        counted(bench.sizes.events)
    );
    bench.progress.doing(&what);
    let start = time::nanos();
    let fill = stage.site.fill().await?;
    fill.events(&stage.workspace, bench.sizes.events).await?;
    fill.end().await?;
    let taken = time::seconds(start, time::nanos());
    bench.progress.done(&what, &format!("in {} s", shown(taken)));
    Ok(())
}

/// Starts the server with the backlog, and watches until all of it is delivered.
async fn drained(bench: &Bench, engine: Engine, stage: &mut Stage, row: &mut Row) -> Result<()> {
    let what = format!("backlog, {}, drain", engine.name());
    bench.progress.doing(&what);
    let (events, before) = (bench.sizes.events, stage.receivers.delivered());
    row.add(START_UP, stage.site.start_again().await?);
    let spent = Spent::so_far(&stage.site)?;
    let (mut start, mut counted) = (time::nanos(), stage.receivers.delivered());
    for part in 1..=PARTS {
        stage.receivers.arrived(before + events * part / PARTS).await?;
        let (now, delivered) = (time::nanos(), stage.receivers.delivered());
        row.add(
            DELIVERIES,
            as_f64(delivered - counted) / time::seconds(start, now),
        );
        (start, counted) = (now, delivered);
    }
    spent.cost(&stage.site, events)?.add_to(row);
    let rate = row
        .figure(DELIVERIES)
        .map_or(f64::NAN, crate::report::Figure::median);
    bench
        .progress
        .done(&what, &format!("{} {DELIVERIES}", shown(rate)));
    Ok(())
}
