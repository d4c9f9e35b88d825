//! `due`: a start with many idle workspaces, and some in which an event is due.

use anyhow::Result;

use crate::{
    bench::Bench,
    database::Engine,
    figures::START_UP,
    report::{Row, Table, counted, shown},
    setup::Setup,
    time,
};

const NAME: &str = "due";
/// Workspaces in which an event is due.
const BUSY: u64 = 1_000;
/// From the time at which the server is ready until all that is due has arrived.
const WOKEN: &str = "all woken s";

pub(super) fn steps(runs: u64) -> u64 {
    runs + 1
}

pub(super) async fn run(bench: &Bench, engine: Engine) -> Result<Vec<Table>> {
    let idle = bench.sizes.idle;
    let what = format!("{NAME}, {}, making {}", engine.name(), counted(idle));
    bench.progress.doing(&what);
    let mut setup = Setup::bare(bench, engine).await?;
    let url = setup.receivers.url(0);
    let like = setup
        .instance
        .api
        .install(&setup.workspace, "receiver", &url)
        .await?;
    let fill = setup.instance.fill().await?;
    fill.workspaces(&like.id, idle + BUSY).await?;
    fill.one_delivered_event_each(idle + BUSY).await?;
    fill.end().await?;
    bench.progress.done(&what, "filled in");

    let mut row = Row::named(format!("{} idle, {} due", counted(idle), counted(BUSY)));
    for run in 1..=bench.runs {
        let what = format!("{NAME}, {}, run {run}", engine.name());
        bench.progress.doing(&what);
        let fill = setup.instance.fill().await?;
        fill.undeliver(BUSY).await?;
        fill.end().await?;
        let before = setup.receivers.delivered();
        let ready = setup.instance.start_again().await?;
        let start = time::nanos();
        setup.receivers.arrived(before + BUSY).await?;
        let woken = time::seconds(start, time::nanos());
        row.add(START_UP, ready);
        row.add(WOKEN, woken);
        bench.progress.done(
            &what,
            &format!(
                "ready after {} s, all woken {} s later",
                shown(ready),
                shown(woken)
            ),
        );
    }
    setup.instance.end().await?;
    Ok(vec![Table {
        scenario: NAME,
        database: engine,
        title: "A start with work in few of many workspaces".to_owned(),
        load: format!(
            "An installation and an event in each workspace, filled in by SQL while the server was stopped; in {} of \
             them the event is not delivered yet. `{START_UP}` is from the start of the process until it is ready, \
             `{WOKEN}` from then until all of them are delivered",
            counted(BUSY)
        ),
        rows_are: "workspaces",
        rows: vec![row],
        notes: Vec::new(),
    }])
}
