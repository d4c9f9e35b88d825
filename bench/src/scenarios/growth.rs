//! `growth`: the cost of a publish when many events are stored already.

use anyhow::Result;

use crate::{
    bench::Bench,
    database::Engine,
    figures::{ACKS, BOTH, P50, SERVER_CPU},
    measure::{self, WARM_UP},
    report::{Row, Table, counted, shown},
    setup::Setup,
};

pub(crate) const NAME: &str = "growth";
const STORED: &[u64] = &[10_000, 1_000_000, 10_000_000];
const CONNECTIONS: usize = 64;

pub(super) fn steps(runs: u64) -> u64 {
    STORED.iter().map(|_| runs + 1).sum()
}

pub(super) async fn run(bench: &Bench, engine: Engine) -> Result<Vec<Table>> {
    let mut setups = Vec::new();
    for stored in STORED {
        setups.push(filled(bench, engine, *stored).await?);
    }
    let mut rows: Vec<Row> = STORED.iter().map(|stored| Row::named(counted(*stored))).collect();
    // In turns: a disturbance of the machine that lasts affects all of them.
    for run in 1..=bench.runs {
        for (setup, row) in setups.iter().zip(&mut rows) {
            let what = format!("growth, {}, {} stored, run {run}", engine.name(), row.name);
            bench.progress.doing(&what);
            let (subject, requests) = (setup.subject(), setup.requests()?);
            let closed = measure::closed(subject, requests, CONNECTIONS, WARM_UP, bench.lasting()).await?;
            closed.add_to(row);
            bench
                .progress
                .done(&what, &format!("{} {ACKS}", shown(closed.acks_per_second)));
        }
    }
    for setup in setups {
        setup.instance.end().await?;
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

/// Starts a server with so many events, and then subscribes a service.
async fn filled(bench: &Bench, engine: Engine, stored: u64) -> Result<Setup> {
    let what = format!("growth, {}, filling in {}", engine.name(), counted(stored));
    bench.progress.doing(&what);
    let mut setup = Setup::bare(bench, engine).await?;
    let fill = setup.instance.fill().await?;
    fill.events(&setup.workspace, stored).await?;
    fill.end().await?;
    let ready = setup.instance.start_again().await?;
    setup.subscribe().await?;
    bench
        .progress
        .done(&what, &format!("ready after {} s", shown(ready)));
    Ok(setup)
}
