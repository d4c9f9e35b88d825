//! A service that is down while the server runs. Measured are the effect of its undelivered events, or of its parked
//! retries, on a workspace whose service is healthy, and the rate at which they are delivered once the service is up.

use std::time::Duration;

use anyhow::Result;

use crate::{
    api::Installed,
    bench::Bench,
    cost,
    database::Engine,
    figures::{DELIVERIES, PUBLISH, RESIDENT, START_UP},
    measure::{self, WARM_UP},
    receivers::DownService,
    report::{Figure, Row, Table, as_f64, counted, shown},
    setup::Setup,
    time,
};

const CONNECTIONS: usize = 64;
/// The rate of the workspace whose service is healthy.
const PER_SECOND: u32 = 100;
/// No retry becomes due by itself while the bench runs.
const PARKED_MINUTES: i64 = 120;
/// How long the drain is watched at most.
const DRAIN: Duration = Duration::from_secs(40);
const AT_START: &str = "resident MiB at start";
const MORE: &str = "MiB more";
const DELIVERED: &str = "delivered";
const OUT_OF_ORDER: &str = "out of order";

/// The kind of deliveries that wait for the service that is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    UndeliveredEvents,
    ParkedRetries,
}

/// A server with two services. The one of the setup is healthy, the other is down.
struct Outage<'a> {
    bench: &'a Bench,
    engine: Engine,
    scenario: &'static str,
    held: Held,
    setup: Setup,
    workspace: String,
    installed: Installed,
    /// The resident memory of the server with an empty queue, in MiB.
    empty: f64,
}

pub(super) fn steps(held: Held, runs: u64) -> u64 {
    runs + 4 + u64::from(held == Held::ParkedRetries)
}

pub(super) async fn table(
    bench: &Bench,
    engine: Engine,
    scenario: &'static str,
    held: Held,
) -> Result<Table> {
    let down = DownService::reserve()?;
    let mut outage = Outage::start(bench, engine, scenario, held, &down).await?;
    let live = outage.live().await?;
    let mut rows = vec![outage.without().await?];
    outage.fill().await?;
    rows.push(outage.with("wait").await?);
    if held == Held::ParkedRetries {
        let fill = outage.setup.instance.fill().await?;
        fill.make_due().await?;
        fill.end().await?;
        rows.push(outage.with("are due").await?);
    }
    let drain = outage.drain(down).await?;
    let mut ratio = Row::named("drain to live");
    let median = |row: &Row| row.figure(DELIVERIES).map_or(f64::NAN, Figure::median);
    ratio.add(DELIVERIES, median(&drain) / median(&live));
    rows.extend([live, drain, ratio]);
    outage.setup.instance.end().await?;
    Ok(Table {
        scenario,
        database: engine,
        title: format!("Beside a service that is down, with {}", held.name()),
        load: format!(
            "Open loop at {PER_SECOND} events/s into another workspace, whose service is healthy. `live` is closed \
             loop, {CONNECTIONS} connections. The {} of the service that is down were filled in by SQL while the \
             server was stopped. `drain` is from when that service is up again, for at most {} s",
            held.name(),
            DRAIN.as_secs()
        ),
        rows_are: "",
        rows,
        notes: vec![format!(
            "`{OUT_OF_ORDER}` are deliveries that came more than 256 events behind a later one; an event that was \
             attempted while the service was down waits for its retry, and may come so late or not within the drain. \
             `{MORE}` is the resident memory beyond that of the server without {}.",
            held.name()
        )],
    })
}

impl Held {
    const fn name(self) -> &'static str {
        match self {
            Self::UndeliveredEvents => "undelivered events",
            Self::ParkedRetries => "parked retries",
        }
    }
}

impl<'a> Outage<'a> {
    async fn start(
        bench: &'a Bench,
        engine: Engine,
        scenario: &'static str,
        held: Held,
        down: &DownService,
    ) -> Result<Self> {
        let setup = Setup::pointsman(bench, engine).await?;
        let workspace = setup.instance.api.workspace("outage").await?;
        let installed = setup
            .instance
            .api
            .install(&workspace, "down", &down.url()?)
            .await?;
        Ok(Self {
            bench,
            engine,
            scenario,
            held,
            setup,
            workspace,
            installed,
            empty: 0.0,
        })
    }

    fn doing(&self, step: &str) -> String {
        let (scenario, engine, held) = (self.scenario, self.engine.name(), self.held.name());
        let what = format!("{scenario}, {engine}, {held}, {step}");
        self.bench.progress.doing(&what);
        what
    }

    /// The deliveries to the healthy service per second, as fast as they go.
    async fn live(&self) -> Result<Row> {
        let mut row = Row::named("live");
        for run in 1..=self.bench.runs {
            let what = self.doing(&format!("live, run {run}"));
            let (subject, requests) = (self.setup.subject(), self.setup.requests()?);
            let closed =
                measure::closed(subject, requests, CONNECTIONS, WARM_UP, self.bench.lasting()).await?;
            let rate = closed.deliveries.map_or(f64::NAN, |made| made.per_second);
            row.add(DELIVERIES, rate);
            let found = format!("{} {DELIVERIES}", shown(rate));
            self.bench.progress.done(&what, &found);
        }
        Ok(row)
    }

    /// The server with nothing that waits.
    async fn without(&mut self) -> Result<Row> {
        let mut row = Row::named(format!("no {}", self.held.name()));
        let what = self.doing("none");
        self.setup.instance.stop().await?;
        row.add(START_UP, self.setup.instance.start_again().await?);
        self.publish(&mut row).await?;
        self.empty = cost::add_resident(&self.setup.instance, &mut row)?;
        self.bench
            .progress
            .done(&what, &format!("{} MiB", shown(self.empty)));
        Ok(row)
    }

    /// Fills the database of the server, which is stopped for it.
    async fn fill(&mut self) -> Result<()> {
        let count = self.bench.sizes.events;
        let what = self.doing(&format!("filling in {}", counted(count)));
        let start = time::nanos();
        let fill = self.setup.instance.fill().await?;
        fill.events(&self.workspace, count).await?;
        if self.held == Held::ParkedRetries {
            fill.park(&self.installed.id, PARKED_MINUTES).await?;
        }
        fill.end().await?;
        let found = format!("in {} s", shown(time::seconds(start, time::nanos())));
        self.bench.progress.done(&what, &found);
        Ok(())
    }

    /// Starts the server, which is stopped, with what was filled in.
    async fn with(&mut self, waiting: &str) -> Result<Row> {
        let count = counted(self.bench.sizes.events);
        let mut row = Row::named(format!("{count} {} {waiting}", self.held.name()));
        let what = self.doing(&format!("which {waiting}"));
        row.add(START_UP, self.setup.instance.start_again().await?);
        let mut at_start = Row::named("");
        let first = cost::add_resident(&self.setup.instance, &mut at_start)?;
        self.publish(&mut row).await?;
        let later = cost::add_resident(&self.setup.instance, &mut row)?;
        row.add(AT_START, first);
        row.add(MORE, (first.max(later) - self.empty).max(0.0));
        self.bench
            .progress
            .done(&what, &format!("{} {RESIDENT}", shown(later)));
        Ok(row)
    }

    /// Publishes into the workspace whose service is healthy.
    async fn publish(&self, row: &mut Row) -> Result<()> {
        let request = self.setup.request()?;
        measure::paced(&self.setup.instance, &request, PER_SECOND, WARM_UP).await?;
        for _ in 0..self.bench.runs {
            let lasting = self.bench.lasting();
            let published = measure::paced(&self.setup.instance, &request, PER_SECOND, lasting).await?;
            row.add_latencies(PUBLISH, &published);
        }
        Ok(())
    }

    /// Starts the service and resets the breaker, so that the lane does not wait for its next probe.
    async fn drain(&self, down: DownService) -> Result<Row> {
        let mut row = Row::named("drain");
        let what = self.doing("drain");
        let start = time::nanos();
        let service = down.come_up()?;
        service.tally().check_order();
        self.setup.instance.api.reset(&self.installed).await?;
        service.arrived_within(self.bench.sizes.events, DRAIN).await;
        let delivered = as_f64(service.delivered());
        let rate = delivered / time::seconds(start, service.tally().last()).max(0.001);
        row.add(DELIVERIES, rate);
        row.add(DELIVERED, delivered);
        row.add(OUT_OF_ORDER, as_f64(service.tally().out_of_order()));
        cost::add_resident(&self.setup.instance, &mut row)?;
        self.bench
            .progress
            .done(&what, &format!("{} {DELIVERIES}", shown(rate)));
        Ok(row)
    }
}
