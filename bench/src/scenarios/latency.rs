//! `latency`: from the time at which an event should leave to its acknowledgement and to its receipt, at rates far
//! below the throughput of the server; and the latency of the disk alone.

use std::time::Duration;

use anyhow::Result;

use crate::{
    bench::Bench,
    database::Engine,
    measure,
    report::{Row, Table, counted, shown},
    setup::Setup,
};

pub(crate) const NAME: &str = "latency";
/// Events per second, and the factor by which the length of a run is multiplied: at the lower rate it takes longer
/// until there are enough events for a percentile.
const RATES: &[(u32, f64)] = &[(50, 2.5), (1_000, 1.0)];
const FSYNC: Duration = Duration::from_secs(1);

pub(super) fn steps(runs: u64) -> u64 {
    RATES.iter().map(|_| runs).sum()
}

pub(super) async fn run(bench: &Bench, engine: Engine) -> Result<Vec<Table>> {
    let setup = Setup::pointsman(bench, engine).await?;
    let mut rows = Vec::new();
    for (rate, times) in RATES {
        let mut row = Row::named(format!("{}/s", counted(u64::from(*rate))));
        for run in 1..=bench.runs {
            let what = format!("latency, {}, {rate} events/s, run {run}", engine.name());
            bench.progress.doing(&what);
            one(
                bench,
                engine,
                &setup,
                *rate,
                bench.lasting().mul_f64(*times),
                &mut row,
            )
            .await?;
            let median = row.figures[0].runs.last().copied().unwrap_or(f64::NAN);
            bench
                .progress
                .done(&what, &format!("received after {} ms (p50)", shown(median)));
        }
        rows.push(row);
    }
    setup.instance.end().await?;
    Ok(vec![Table {
        scenario: NAME,
        database: engine,
        title: "Latency at a given rate".to_owned(),
        load: "Open loop, one subscriber, corrected for coordinated omission; `receive` is from the time at which the \
               event should leave until its delivery has arrived, `fsync` is 4 KiB written and made durable by the \
               bench itself in the same folder, just before"
            .to_owned(),
        rows_are: "events",
        rows,
        notes: Vec::new(),
    }])
}

async fn one(
    bench: &Bench,
    engine: Engine,
    setup: &Setup,
    rate: u32,
    lasting: Duration,
    row: &mut Row,
) -> Result<()> {
    let disk = bench.fsync(engine, FSYNC)?;
    let open = measure::open(setup.subject(), &setup.request()?, rate, lasting).await?;
    row.add("receive p50 ms", open.received.percentile(50.0));
    row.add("receive p99 ms", open.received.percentile(99.0));
    row.add("receive p99.9 ms", open.received.percentile(99.9));
    row.add("ack p50 ms", open.acknowledged.percentile(50.0));
    row.add("ack p99 ms", open.acknowledged.percentile(99.0));
    row.add("ack p99.9 ms", open.acknowledged.percentile(99.9));
    row.add("fsync p50 ms", disk.percentile(50.0));
    row.add("fsync p99 ms", disk.percentile(99.0));
    open.cost.add_to(row);
    Ok(())
}
