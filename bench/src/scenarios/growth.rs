//! `growth`: what a publish costs when many events are stored already.

use anyhow::Result;

use crate::{
    bench::Bench,
    database::Engine,
    figures::{ACKS, BOTH, P50, SERVER_CPU},
    measure::{self, WARM_UP},
    report::{Row, Table, counted, shown},
    stage::Stage,
};

pub(crate) const NAME: &str = "growth";
const STORED: &[u64] = &[10_000, 1_000_000, 10_000_000];
const CONNECTIONS: usize = 64;

pub(super) fn steps(runs: u64) -> u64 {
    STORED.iter().map(|_| runs + 1).sum()
}

pub(super) async fn run(bench: &Bench, engine: Engine) -> Result<Vec<Table>> {
    let mut stages = Vec::new();
    for stored in STORED {
        stages.push(filled(bench, engine, *stored).await?);
    }
    let mut rows: Vec<Row> = STORED.iter().map(|stored| Row::named(counted(*stored))).collect();
    // In turns, so that what disturbs the machine for longer disturbs all.
    for run in 1..=bench.runs {
        for (stage, row) in stages.iter().zip(&mut rows) {
            let what = format!("growth, {}, {} stored, run {run}", engine.name(), row.name);
            bench.progress.doing(&what);
            let (subject, requests) = (stage.subject(), stage.requests()?);
            let closed = measure::closed(subject, requests, CONNECTIONS, WARM_UP, bench.lasting()).await?;
            closed.add_to(row);
            bench
                .progress
                .done(&what, &format!("{} {ACKS}", shown(closed.acks_per_second)));
        }
    }
    for stage in stages {
        stage.site.end().await?;
    }
    let ratios: Vec<Row> = rows[1..]
        .iter()
        .map(|row| {
            let name = format!("{} to {}", row.name, rows[0].name);
            row.ratios_to(name, &rows[0], &[ACKS, BOTH, P50, SERVER_CPU])
        })
        .collect();
    rows.extend(ratios);
    Ok(vec![Table {
        scenario: NAME,
        database: engine,
        title: "Publish with many events stored".to_owned(),
        load: format!(
            "Closed loop, {CONNECTIONS} connections, one subscriber; the events were filled in by SQL, into the \
             workspace that is published to, a server for each number of them, run in turns"
        ),
        rows_are: "events stored",
        rows,
        notes: Vec::new(),
    }])
}

/// A server with so many events, and a service that is subscribed from then on.
async fn filled(bench: &Bench, engine: Engine, stored: u64) -> Result<Stage> {
    let what = format!("growth, {}, filling in {}", engine.name(), counted(stored));
    bench.progress.doing(&what);
    let mut stage = Stage::bare(bench, engine).await?;
    let fill = stage.site.fill().await?;
    fill.events(&stage.workspace, stored).await?;
    fill.end().await?;
    let ready = stage.site.start_again().await?;
    stage.subscribe().await?;
    bench
        .progress
        .done(&what, &format!("ready after {} s", shown(ready)));
    Ok(stage)
}
