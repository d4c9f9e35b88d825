//! `overload`: more publishers than the server admits.

use std::time::Duration;

use anyhow::Result;

use crate::{
    bench::Bench,
    cost,
    database::Engine,
    event::Request,
    figures::PUBLISH,
    instance::Instance,
    latency::Latencies,
    load::{Overload, OverloadAnswers},
    measure::{self, WARM_UP},
    report::{Row, Table, as_f64, shown},
    setup::KEY,
};

const NAME: &str = "overload";
const WORKSPACES: usize = 8;
const CONNECTIONS: usize = 512;
/// `publish.max_in_flight` of the server.
const ADMITTED: usize = 64;
/// The rate of publishers before and after the overload.
const PER_SECOND: u32 = 100;
/// How many times the memory of the server is read while the overload lasts.
const MEMORY_SAMPLES: u32 = 6;
const ANSWERS: &str = "answers";
const ANSWERS_PER_SECOND: &str = "answers/s";

pub(super) fn steps(runs: u64) -> u64 {
    runs
}

/// A row for each kind of answer.
struct OverloadRows {
    before: Row,
    admitted: Row,
    refused: Row,
    other: Row,
    after: Row,
}

pub(super) async fn run(bench: &Bench, engine: Engine) -> Result<Vec<Table>> {
    let changed = [("PUBLISH__MAX_IN_FLIGHT", ADMITTED.to_string())];
    let instance = Instance::pointsman_with(bench, engine, &changed).await?;
    let mut requests = Vec::new();
    for number in 0..WORKSPACES {
        let workspace = instance.api.workspace(&format!("overload {number}")).await?;
        requests.push(instance.request(&workspace, KEY)?);
    }
    let mut rows = OverloadRows {
        before: Row::named("before"),
        admitted: Row::named("during: admitted"),
        refused: Row::named("during: refused with 503"),
        other: Row::named("during: any other answer, or none"),
        after: Row::named("afterwards"),
    };
    measure::paced(&instance, &requests[0], PER_SECOND, WARM_UP).await?;
    for run in 1..=bench.runs {
        let what = format!("overload, {}, run {run}", engine.name());
        bench.progress.doing(&what);
        normal(bench, &instance, &requests[0], &mut rows.before).await?;
        let answers = overload(bench, &instance, &requests, &mut rows.admitted).await?;
        normal(bench, &instance, &requests[0], &mut rows.after).await?;
        rows.add(&answers, bench.lasting());
        let found = format!(
            "{} admitted, {} refused",
            shown(as_f64(answers.admitted.count())),
            shown(as_f64(answers.refused.count()))
        );
        bench.progress.done(&what, &found);
    }
    instance.end().await?;
    Ok(vec![table(engine, rows)])
}

fn table(engine: Engine, rows: OverloadRows) -> Table {
    Table {
        scenario: NAME,
        database: engine,
        title: "More publishers than are admitted".to_owned(),
        load: format!(
            "During the overload closed loop, {CONNECTIONS} connections into {WORKSPACES} workspaces of a server with \
             `publish.max_in_flight` = {ADMITTED}; before and afterwards open loop at {PER_SECOND} events/s. Nothing \
             is installed"
        ),
        rows_are: "publishes",
        rows: vec![rows.before, rows.admitted, rows.refused, rows.other, rows.after],
        notes: vec![format!(
            "`resident` is measured after the publishes of a row, and {MEMORY_SAMPLES} times in each run during the \
             overload."
        )],
    }
}

/// Publishes within the limit, for half of a run.
async fn normal(bench: &Bench, instance: &Instance, request: &Request, row: &mut Row) -> Result<()> {
    let published = measure::paced(instance, request, PER_SECOND, bench.lasting() / 2).await?;
    add_answers(row, &published, bench.lasting() / 2);
    cost::add_resident(instance, row)?;
    Ok(())
}

/// The overload of one run, with the memory of the server meanwhile.
async fn overload(
    bench: &Bench,
    instance: &Instance,
    requests: &[Request],
    memory: &mut Row,
) -> Result<OverloadAnswers> {
    let running = Overload {
        address: instance.server()?.address,
        requests: requests.to_vec(),
        connections: CONNECTIONS,
    }
    .start()?;
    for _ in 0..MEMORY_SAMPLES {
        tokio::time::sleep(bench.lasting() / MEMORY_SAMPLES).await;
        cost::add_resident(instance, memory)?;
    }
    running.stop().await
}

fn add_answers(row: &mut Row, latencies: &Latencies, lasting: Duration) {
    let count = as_f64(latencies.count());
    row.add(ANSWERS, count);
    row.add(ANSWERS_PER_SECOND, count / lasting.as_secs_f64());
    row.add_latencies(PUBLISH, latencies);
}

impl OverloadRows {
    /// Adds what one run of the overload has found.
    fn add(&mut self, answers: &OverloadAnswers, lasting: Duration) {
        add_answers(&mut self.admitted, &answers.admitted, lasting);
        add_answers(&mut self.refused, &answers.refused, lasting);
        self.other.add(ANSWERS, as_f64(answers.other));
    }
}
