//! `flood`: publishers of one workspace beside another workspace that publishes as fast as it can.

use std::{sync::Arc, time::Duration};

use anyhow::Result;

use crate::{
    bench::Bench,
    database::Engine,
    event::Request,
    figures::PUBLISH,
    instance::Instance,
    latency::Latencies,
    load::ClosedLoop,
    measure::{self, WARM_UP},
    report::{Row, Table, as_f64, counted, shown},
    setup::KEY,
    time,
};

const NAME: &str = "flood";
const PER_SECOND: u32 = 100;
/// The rate of a flood that does not need the whole machine.
const PACED_PER_SECOND: u32 = 2_500;
/// The connections of a flood that takes whatever the machine gives.
const CONNECTIONS: usize = 64;
const OTHERS: &str = "events/s of the others";

/// What goes on beside the publishers that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    Nothing,
    /// One workspace publishes at a fixed rate.
    Paced,
    /// One workspace publishes as fast as it is answered.
    OneWorkspace,
    /// As many workspaces as there are connections publish as fast as they are answered. This is what the machine
    /// gives each of them under such a load when no workspace takes more than the others.
    ManyWorkspaces,
}

/// A server with a workspace that is measured and others that flood it.
struct Flooded {
    instance: Instance,
    quiet: Request,
    loud: Vec<Request>,
}

pub(super) fn steps(runs: u64) -> u64 {
    runs * Beside::ALL.len() as u64
}

pub(super) async fn run(bench: &Bench, engine: Engine) -> Result<Vec<Table>> {
    let flooded = Flooded::start(bench, engine).await?;
    let mut rows = Beside::ALL.map(|beside| Row::named(beside.name()));
    for run in 1..=bench.runs {
        for (beside, row) in Beside::ALL.into_iter().zip(&mut rows) {
            let what = format!("flood, {}, beside {}, run {run}", engine.name(), row.name);
            bench.progress.doing(&what);
            let (published, others) = flooded.measure(beside, bench.lasting()).await?;
            row.add_latencies(PUBLISH, &published);
            row.add(OTHERS, others);
            let found = format!(
                "acknowledged after {} ms (p99)",
                shown(published.percentile(99.0))
            );
            bench.progress.done(&what, &found);
        }
    }
    flooded.instance.end().await?;
    let ratios = ratios(&rows);
    Ok(vec![Table {
        scenario: NAME,
        database: engine,
        title: "Publishers beside a workspace that floods".to_owned(),
        load: format!(
            "Open loop at {PER_SECOND} events/s into one workspace, corrected for coordinated omission. The others \
             publish into workspaces of their own. Nothing is installed in any of them"
        ),
        rows_are: "the others",
        rows: rows.into_iter().chain(ratios).collect(),
        notes: Vec::new(),
    }])
}

/// The ratios to the publishers alone, and of one workspace that floods to many.
fn ratios(rows: &[Row; 4]) -> Vec<Row> {
    let [alone, paced, one, many] = rows;
    let pairs = [(paced, alone), (one, alone), (many, alone), (one, many)];
    pairs
        .map(|(row, to)| row.ratios_to(format!("{} to {}", row.name, to.name), to, &PUBLISH))
        .to_vec()
}

impl Beside {
    const ALL: [Self; 4] = [
        Self::Nothing,
        Self::Paced,
        Self::OneWorkspace,
        Self::ManyWorkspaces,
    ];

    fn name(self) -> String {
        match self {
            Self::Nothing => "none".to_owned(),
            Self::Paced => format!("{}/s of 1 workspace", counted(u64::from(PACED_PER_SECOND))),
            Self::OneWorkspace => format!("{CONNECTIONS} connections of 1 workspace"),
            Self::ManyWorkspaces => format!("{CONNECTIONS} connections of {CONNECTIONS} workspaces"),
        }
    }
}

impl Flooded {
    async fn start(bench: &Bench, engine: Engine) -> Result<Self> {
        let instance = Instance::pointsman(bench, engine).await?;
        let quiet = instance.request(&instance.api.workspace("quiet").await?, KEY)?;
        let mut loud = Vec::new();
        for number in 0..CONNECTIONS {
            let workspace = instance.api.workspace(&format!("loud {number}")).await?;
            loud.push(instance.request(&workspace, KEY)?);
        }
        Ok(Self {
            instance,
            quiet,
            loud,
        })
    }

    /// Returns the latencies of the publishers, and the events of the others per second.
    async fn measure(&self, beside: Beside, lasting: Duration) -> Result<(Latencies, f64)> {
        match beside {
            Beside::Nothing => {
                self.quiet(WARM_UP).await?;
                Ok((self.quiet(lasting).await?, 0.0))
            }
            Beside::Paced => {
                tokio::try_join!(self.quiet(WARM_UP), self.paced(WARM_UP))?;
                let (published, others) = tokio::try_join!(self.quiet(lasting), self.paced(lasting))?;
                Ok((published, as_f64(others.count()) / lasting.as_secs_f64()))
            }
            Beside::OneWorkspace => self.beside_closed_loop(&self.loud[..1], lasting).await,
            Beside::ManyWorkspaces => self.beside_closed_loop(&self.loud, lasting).await,
        }
    }

    async fn quiet(&self, lasting: Duration) -> Result<Latencies> {
        measure::paced(&self.instance, &self.quiet, PER_SECOND, lasting).await
    }

    async fn paced(&self, lasting: Duration) -> Result<Latencies> {
        measure::paced(&self.instance, &self.loud[0], PACED_PER_SECOND, lasting).await
    }

    async fn beside_closed_loop(&self, loud: &[Request], lasting: Duration) -> Result<(Latencies, f64)> {
        let running = ClosedLoop {
            address: self.instance.server()?.address,
            requests: Arc::new(loud.to_vec()),
            connections: CONNECTIONS,
            most: None,
        }
        .start()?;
        self.quiet(WARM_UP).await?;
        let (start, before) = (time::nanos(), running.acknowledged());
        let published = self.quiet(lasting).await?;
        let others = as_f64(running.acknowledged() - before) / time::seconds(start, time::nanos());
        running.stop();
        running.ended().await?;
        Ok((published, others))
    }
}
