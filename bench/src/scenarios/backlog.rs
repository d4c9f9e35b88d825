//! `backlog`: a million events that wait for one service. They are measured when the server starts with them and the
//! service is up, and while the service is down.

use std::time::Duration;

use anyhow::Result;

use super::outage::{self, Held};
use crate::{
    bench::Bench,
    cost::{self, CpuTime},
    database::Engine,
    figures::{DELIVERIES, START_UP},
    measure::{self, WARM_UP},
    report::{Row, Table, as_f64, counted, shown},
    setup::Setup,
    time,
};

const NAME: &str = "backlog";
/// The drain is one run, which is divided into parts: its spread is that of the parts.
const PARTS: u64 = 4;
const CONNECTIONS: usize = 64;
const IDLE: Duration = Duration::from_secs(5);

pub(super) fn steps(runs: u64) -> u64 {
    runs + 4 + outage::steps(Held::UndeliveredEvents, runs)
}

pub(super) async fn run(bench: &Bench, engine: Engine) -> Result<Vec<Table>> {
    let mut setup = Setup::pointsman(bench, engine).await?;
    let mut first = Row::named("idle, first start");
    idle(bench, engine, &setup, &mut first).await?;
    let live = live(bench, engine, &setup).await?;
    let mut again = Row::named("idle, started again");
    setup.instance.stop().await?;
    again.add(START_UP, setup.instance.start_again().await?);
    idle(bench, engine, &setup, &mut again).await?;
    fill(bench, engine, &mut setup).await?;
    let mut drain = Row::named(format!("drain of {}", counted(bench.sizes.events)));
    drained(bench, engine, &mut setup, &mut drain).await?;
    setup.instance.end().await?;
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
async fn idle(bench: &Bench, engine: Engine, setup: &Setup, row: &mut Row) -> Result<()> {
    let what = format!("backlog, {}, {}", engine.name(), row.name);
    bench.progress.doing(&what);
    tokio::time::sleep(IDLE).await;
    let memory = cost::add_resident(&setup.instance, row)?;
    bench.progress.done(&what, &format!("{} MiB", shown(memory)));
    Ok(())
}

async fn live(bench: &Bench, engine: Engine, setup: &Setup) -> Result<Row> {
    let mut row = Row::named("live");
    for run in 1..=bench.runs {
        let what = format!("backlog, {}, live, run {run}", engine.name());
        bench.progress.doing(&what);
        let (subject, requests) = (setup.subject(), setup.requests()?);
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

/// Stops the server, and fills its log.
async fn fill(bench: &Bench, engine: Engine, setup: &mut Setup) -> Result<()> {
    let what = format!(
        "backlog, {}, filling in {}",
        engine.name(),
        counted(bench.sizes.events)
    );
    bench.progress.doing(&what);
    let start = time::nanos();
    let fill = setup.instance.fill().await?;
    fill.events(&setup.workspace, bench.sizes.events).await?;
    fill.end().await?;
    let taken = time::seconds(start, time::nanos());
    bench.progress.done(&what, &format!("in {} s", shown(taken)));
    Ok(())
}

/// Starts the server with the backlog, and waits until all of it is delivered.
async fn drained(bench: &Bench, engine: Engine, setup: &mut Setup, row: &mut Row) -> Result<()> {
    let what = format!("backlog, {}, drain", engine.name());
    bench.progress.doing(&what);
    let (events, before) = (bench.sizes.events, setup.receivers.delivered());
    row.add(START_UP, setup.instance.start_again().await?);
    let spent = CpuTime::now(&setup.instance)?;
    let (mut start, mut counted) = (time::nanos(), setup.receivers.delivered());
    for part in 1..=PARTS {
        setup.receivers.arrived(before + events * part / PARTS).await?;
        let (now, delivered) = (time::nanos(), setup.receivers.delivered());
        row.add(
            DELIVERIES,
            as_f64(delivered - counted) / time::seconds(start, now),
        );
        (start, counted) = (now, delivered);
    }
    spent.cost(&setup.instance, events)?.add_to(row);
    let rate = row
        .figure(DELIVERIES)
        .map_or(f64::NAN, crate::report::Figure::median);
    bench
        .progress
        .done(&what, &format!("{} {DELIVERIES}", shown(rate)));
    Ok(())
}
