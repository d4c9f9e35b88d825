//! `neighbour`: a healthy installation beside installations that accept and never answer.

use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::json;

use crate::{
    api::Installed,
    bench::Bench,
    database::Engine,
    measure::{self, P50},
    receivers::{Manner, Receivers},
    report::{Row, Table, shown},
    stage::Stage,
    time,
};

const NAME: &str = "neighbour";
const HANGING: usize = 50;
const PER_SECOND: u32 = 500;
/// Those who were given up hang up within `delivery.timeout`.
const PATIENCE_SECONDS: f64 = 60.0;
const FIGURES: &[&str] = &[P50, "publish p99 ms", "receive p50 ms", "receive p99 ms"];

pub(super) fn steps(runs: u64) -> u64 {
    2 * runs
}

pub(super) async fn run(bench: &Bench, engine: Engine) -> Result<Vec<Table>> {
    let stage = Stage::pointsman(bench, engine).await?;
    let hanging = Receivers::start(HANGING, Manner::Hang)?;
    let mut those_who_hang = Vec::new();
    for number in 0..HANGING {
        let key = format!("hanging-{number}");
        let installed = stage
            .site
            .api
            .install(&stage.workspace, &key, &hanging.url(number))
            .await?;
        those_who_hang.push(installed);
    }
    let mut rows = [Row::named("without"), Row::named("with")];
    for run in 1..=bench.runs {
        for (with, row) in [false, true].into_iter().zip(&mut rows) {
            let what = format!(
                "neighbour, {}, {} those who hang, run {run}",
                engine.name(),
                row.name
            );
            bench.progress.doing(&what);
            switch(&stage, &those_who_hang, &hanging, with).await?;
            let open = measure::open(stage.subject(), &stage.request()?, PER_SECOND, bench.lasting()).await?;
            row.add(FIGURES[0], open.acknowledged.percentile(50.0));
            row.add(FIGURES[1], open.acknowledged.percentile(99.0));
            row.add(FIGURES[2], open.received.percentile(50.0));
            row.add(FIGURES[3], open.received.percentile(99.0));
            open.cost.add_to(row);
            let found = format!(
                "received after {} ms (p99)",
                shown(open.received.percentile(99.0))
            );
            bench.progress.done(&what, &found);
        }
    }
    stage.site.end().await?;
    let [without, with] = rows;
    let ratio = with.ratios_to("with to without", &without, FIGURES);
    Ok(vec![Table {
        scenario: NAME,
        database: engine,
        title: format!("Beside {HANGING} installations that hang"),
        load: format!(
            "Open loop at {PER_SECOND} events/s, corrected for coordinated omission; all are in one workspace and \
             subscribed to the same events"
        ),
        rows_are: "those who hang",
        rows: vec![without, with, ratio],
        notes: Vec::new(),
    }])
}

/// Has those who hang take part, or not.
async fn switch(stage: &Stage, those: &[Installed], hanging: &Receivers, with: bool) -> Result<()> {
    for installed in those {
        stage
            .site
            .api
            .change(installed, &json!({"enabled": with}))
            .await?;
    }
    let start = time::nanos();
    while !with && hanging.open_connections() > 0 {
        if time::seconds(start, time::nanos()) > PATIENCE_SECONDS {
            bail!("deliveries to those who hang go on though they are disabled");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
