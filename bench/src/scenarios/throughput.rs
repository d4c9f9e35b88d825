//! Runs of closed-loop load by connections, of Pointsman and, if it is asked for, of the ceiling, in turns.

use std::time::Duration;

use anyhow::Result;

use super::{ceiling, publish, rows::ThroughputRows};
use crate::{
    bench::Bench,
    database::Engine,
    figures::ACKS,
    measure::{self, WARM_UP},
    report::{Row, Table, shown},
    setup::Setup,
};

/// How long the disk is measured before each run: the speed of a shared disk changes.
const FSYNC: Duration = Duration::from_millis(200);
const ALL: &[usize] = &[1, 16, 64, 256];
/// The numbers of connections for which there are goals.
const OF_THE_GOALS: &[usize] = &[1, 64];

fn connections(publish: bool) -> &'static [usize] {
    if publish { ALL } else { OF_THE_GOALS }
}

pub(super) fn steps(publish: bool, ceiling: bool, runs: u64) -> u64 {
    connections(publish)
        .iter()
        .map(|_| runs * (1 + u64::from(ceiling)))
        .sum()
}

pub(super) async fn run(bench: &Bench, engine: Engine, publish: bool, ceiling: bool) -> Result<Vec<Table>> {
    let rows = measure(bench, engine, connections(publish), ceiling).await?;
    let mut tables = Vec::new();
    if publish {
        tables.push(publish::table(engine, &rows));
    }
    if ceiling {
        tables.extend(ceiling::tables(engine, &rows));
    }
    Ok(tables)
}

async fn measure(
    bench: &Bench,
    engine: Engine,
    connections: &[usize],
    ceiling: bool,
) -> Result<ThroughputRows> {
    let mut sides = vec![("Pointsman", Setup::pointsman(bench, engine).await?)];
    if ceiling {
        sides.push(("ceiling", Setup::ceiling(bench, engine, &sides[0].1).await?));
    }
    let mut rows: Vec<Vec<Row>> = sides.iter().map(|_| Vec::new()).collect();
    for count in connections {
        let mut measured: Vec<Row> = sides.iter().map(|_| Row::named(count.to_string())).collect();
        for run in 1..=bench.runs {
            for ((name, setup), row) in sides.iter().zip(&mut measured) {
                let what = format!(
                    "publish, {}, {name}, {count} connections, run {run}",
                    engine.name()
                );
                bench.progress.doing(&what);
                let disk = bench.fsync(engine, FSYNC)?;
                let (subject, requests) = (setup.subject(), setup.requests()?);
                let closed = measure::closed(subject, requests, *count, WARM_UP, bench.lasting()).await?;
                closed.add_to(row);
                row.add("fsync p50 ms", disk.percentile(50.0));
                bench
                    .progress
                    .done(&what, &format!("{} {ACKS}", shown(closed.acks_per_second)));
            }
        }
        for (rows, row) in rows.iter_mut().zip(measured) {
            rows.push(row);
        }
    }
    for (_, setup) in sides {
        setup.instance.end().await?;
    }
    let mut rows = rows.into_iter();
    Ok(ThroughputRows {
        pointsman: rows.next().unwrap_or_default(),
        ceiling: rows.next().unwrap_or_default(),
    })
}
