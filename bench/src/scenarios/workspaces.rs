//! `workspaces`: the same load spread over many workspaces.

use std::sync::Arc;

use anyhow::Result;

use crate::{
    bench::Bench,
    database::Engine,
    event::Request,
    figures::{ACKS, BOTH, P50, SERVER_CPU},
    measure::{self, WARM_UP},
    report::{Row, Table, counted, shown},
    setup::{KEY, Setup},
};

const NAME: &str = "workspaces";
const WORKSPACES: &[u64] = &[1, 100, 10_000];
const CONNECTIONS: usize = 64;

pub(super) fn steps(runs: u64) -> u64 {
    WORKSPACES.iter().map(|_| runs + 1).sum()
}

/// A server with so many workspaces.
struct Case {
    setup: Setup,
    requests: Arc<Vec<Request>>,
}

pub(super) async fn run(bench: &Bench, engine: Engine) -> Result<Vec<Table>> {
    let mut cases = Vec::new();
    for count in WORKSPACES {
        cases.push(filled(bench, engine, *count).await?);
    }
    let mut rows: Vec<Row> = WORKSPACES
        .iter()
        .map(|count| Row::named(counted(*count)))
        .collect();
    for run in 1..=bench.runs {
        for (case, row) in cases.iter().zip(&mut rows) {
            let what = format!("workspaces, {}, {}, run {run}", engine.name(), row.name);
            bench.progress.doing(&what);
            let (subject, requests) = (case.setup.subject(), Arc::clone(&case.requests));
            let closed = measure::closed(subject, requests, CONNECTIONS, WARM_UP, bench.lasting()).await?;
            closed.add_to(row);
            bench
                .progress
                .done(&what, &format!("{} {ACKS}", shown(closed.acks_per_second)));
        }
    }
    for case in cases {
        case.setup.instance.end().await?;
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
        title: "Load over many workspaces".to_owned(),
        load: format!(
            "Closed loop, {CONNECTIONS} connections, each event to the next workspace; an installation in each, all \
             of one service; a server for each number of workspaces, run in turns, once each workspace has had an event"
        ),
        rows_are: "workspaces",
        rows,
        notes: Vec::new(),
    }])
}

async fn filled(bench: &Bench, engine: Engine, count: u64) -> Result<Case> {
    let what = format!("workspaces, {}, making {count}", engine.name());
    bench.progress.doing(&what);
    let mut setup = Setup::bare(bench, engine).await?;
    let url = setup.receivers.url(0);
    let like = setup
        .instance
        .api
        .install(&setup.workspace, "receiver", &url)
        .await?;
    let fill = setup.instance.fill().await?;
    let workspaces = fill.workspaces(&like.id, count).await?;
    fill.end().await?;
    setup.instance.start_again().await?;
    let requests: Result<Vec<Request>> = workspaces
        .iter()
        .map(|workspace| setup.instance.request(workspace, KEY))
        .collect();
    let requests = Arc::new(requests?);
    let (seconds, _) = measure::so_many(setup.subject(), Arc::clone(&requests), CONNECTIONS, count).await?;
    bench
        .progress
        .done(&what, &format!("one event to each in {} s", shown(seconds)));
    Ok(Case { setup, requests })
}
