//! `idle-workspaces`: the memory of many workspaces, few of which are active.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    bench::Bench,
    cost,
    database::Engine,
    event::Request,
    figures::START_UP,
    measure,
    report::{Row, Table, counted, shown},
    setup::{KEY, Setup},
};

const NAME: &str = "idle-workspaces";
const ACTIVE: u64 = 100;
const EVENTS_EACH: u64 = 20;
/// `router.passivate_after` of the server.
const PASSIVATE_AFTER: &str = "2s";
/// Until all workspaces that are idle have left memory.
const PASSIVATED: Duration = Duration::from_secs(6);

pub(super) const STEPS: u64 = 3;

pub(super) async fn run(bench: &Bench, engine: Engine) -> Result<Vec<Table>> {
    let count = bench.sizes.idle;
    let changed = [("ROUTER__PASSIVATE_AFTER", PASSIVATE_AFTER.to_owned())];
    let mut setup = Setup::bare_with(bench, engine, &changed).await?;
    let mut rows = [
        "without idle workspaces".to_owned(),
        format!("with {} idle workspaces", counted(count)),
        format!("{ACTIVE} others are active"),
        "these are idle again".to_owned(),
    ]
    .map(Row::named);
    let [without, with, busy, again] = &mut rows;

    let what = doing(bench, engine, "none");
    let (active, like) = install(&setup).await?;
    setup.instance.stop().await?;
    without.add(START_UP, setup.instance.start_again().await?);
    let memory = cost::add_resident(&setup.instance, without)?;
    bench.progress.done(&what, &format!("{} MiB", shown(memory)));

    let what = doing(bench, engine, &format!("making {}", counted(count)));
    let fill = setup.instance.fill().await?;
    fill.workspaces(&like, count).await?;
    fill.one_delivered_event_each(count).await?;
    fill.end().await?;
    with.add(START_UP, setup.instance.start_again().await?);
    let memory = cost::add_resident(&setup.instance, with)?;
    bench.progress.done(&what, &format!("{} MiB", shown(memory)));

    let what = doing(bench, engine, &format!("{ACTIVE} active"));
    publish(&setup, &active).await?;
    cost::add_resident(&setup.instance, busy)?;
    tokio::time::sleep(PASSIVATED).await;
    let memory = cost::add_resident(&setup.instance, again)?;
    bench.progress.done(&what, &format!("{} MiB", shown(memory)));
    setup.instance.end().await?;
    Ok(vec![table(engine, rows)])
}

fn doing(bench: &Bench, engine: Engine, step: &str) -> String {
    let what = format!("{NAME}, {}, {step}", engine.name());
    bench.progress.doing(&what);
    what
}

/// Makes the active workspaces; their ids, and that of an installation in one of them.
async fn install(setup: &Setup) -> Result<(Vec<String>, String)> {
    let (mut active, mut like) = (Vec::new(), None);
    for number in 0..ACTIVE {
        let workspace = setup.instance.api.workspace(&format!("active {number}")).await?;
        let url = setup.receivers.url(0);
        like = Some(setup.instance.api.install(&workspace, "receiver", &url).await?.id);
        active.push(workspace);
    }
    Ok((active, like.context("there are active workspaces")?))
}

/// Publishes so many events to each of the active workspaces, by one connection, and waits until all are delivered.
async fn publish(setup: &Setup, active: &[String]) -> Result<()> {
    let requests: Result<Vec<Request>> = active
        .iter()
        .map(|workspace| setup.instance.request(workspace, KEY))
        .collect();
    measure::so_many(setup.subject(), Arc::new(requests?), 1, ACTIVE * EVENTS_EACH).await?;
    Ok(())
}

fn table(engine: Engine, rows: [Row; 4]) -> Table {
    Table {
        scenario: NAME,
        database: engine,
        title: "Memory of idle workspaces".to_owned(),
        load: format!(
            "An installation and a delivered event in each workspace, filled in by SQL while the server was stopped; \
             then {EVENTS_EACH} events into each of the active ones, by one connection. `router.passivate_after` is \
             {PASSIVATE_AFTER}; the last row is {} s after the last delivery",
            PASSIVATED.as_secs()
        ),
        rows_are: "",
        rows: rows.to_vec(),
        notes: vec!["Each figure is 1 run.".to_owned()],
    }
}
