//! Runs of closed-loop load by connections, of Pointsman and where it is wanted of the ceiling, one after the
//! other.

use std::time::Duration;

use anyhow::Result;

use super::{ceiling, publish, rows::Rows};
use crate::{
    bench::Bench,
    database::Engine,
    figures::ACKS,
    measure::{self, WARM_UP},
    report::{Row, Table, shown},
    stage::Stage,
};

/// Before each run: a disk that is shared with others is not the same all the time.
const FSYNC: Duration = Duration::from_millis(200);
const ALL: &[usize] = &[1, 16, 64, 256];
/// Those that the goals are about.
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

async fn measure(bench: &Bench, engine: Engine, connections: &[usize], ceiling: bool) -> Result<Rows> {
    let mut sides = vec![("Pointsman", Stage::pointsman(bench, engine).await?)];
    if ceiling {
        sides.push(("ceiling", Stage::ceiling(bench, engine, &sides[0].1).await?));
    }
    let mut rows: Vec<Vec<Row>> = sides.iter().map(|_| Vec::new()).collect();
    for count in connections {
        let mut measured: Vec<Row> = sides.iter().map(|_| Row::named(count.to_string())).collect();
        for run in 1..=bench.runs {
            for ((name, stage), row) in sides.iter().zip(&mut measured) {
                let what = format!(
                    "publish, {}, {name}, {count} connections, run {run}",
                    engine.name()
                );
                bench.progress.doing(&what);
                let disk = bench.fsync(engine, FSYNC)?;
                let (subject, requests) = (stage.subject(), stage.requests()?);
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
    for (_, stage) in sides {
        stage.site.end().await?;
    }
    let mut rows = rows.into_iter();
    Ok(Rows {
        pointsman: rows.next().unwrap_or_default(),
        ceiling: rows.next().unwrap_or_default(),
    })
}
