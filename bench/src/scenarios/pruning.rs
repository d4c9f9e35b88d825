//! `pruning`: publishing while many old events are deleted.

use anyhow::{Context as _, Result, ensure};
use sea_orm::{ConnectionTrait as _, Statement};

use crate::{
    bench::Bench,
    database::{Database, Engine},
    figures::PUBLISH,
    measure,
    report::{Row, Table, as_f64, counted, shown},
    setup::Setup,
    time,
};

const NAME: &str = "pruning";
const PER_SECOND: u32 = 1_000;
/// `retention.events` of the two servers: one keeps everything.
const KEPT: [&str; 2] = ["36500d", "1d"];
/// The age of the events that were filled in.
const AGE_MINUTES: i64 = 2 * 24 * 60;
const DELETED: &str = "deleted/s";

pub(super) fn steps(runs: u64) -> u64 {
    2 * (runs + 1)
}

pub(super) async fn run(bench: &Bench, engine: Engine) -> Result<Vec<Table>> {
    let mut rows = ["nothing is deleted", "old events are deleted"].map(Row::named);
    // One after the other: a server that deletes has the disk for itself.
    for (kept, row) in KEPT.iter().zip(&mut rows) {
        measured(bench, engine, kept, row).await?;
    }
    let [without, with] = &rows;
    let ratio = with.ratios_to("deleted to not deleted", without, &PUBLISH);
    let mut all = rows.to_vec();
    all.push(ratio);
    Ok(vec![Table {
        scenario: NAME,
        database: engine,
        title: "Publishing while old events are deleted".to_owned(),
        load: format!(
            "Open loop, {}/s, one subscriber; {} old events of another workspace were filled in by SQL",
            counted(u64::from(PER_SECOND)),
            counted(bench.sizes.events)
        ),
        rows_are: "",
        rows: all,
        notes: vec![
            "All runs of a row are on one server, which deletes from its start on. A row of deletions that had ended \
             before its last run is not measured: `--events` has to be larger then."
                .to_owned(),
        ],
    }])
}

async fn measured(bench: &Bench, engine: Engine, kept: &str, row: &mut Row) -> Result<()> {
    let what = format!("{NAME}, {}, {}, filling in", engine.name(), row.name);
    bench.progress.doing(&what);
    let changed = [("RETENTION__EVENTS", kept.to_owned())];
    let mut setup = Setup::bare_with(bench, engine, &changed).await?;
    setup.subscribe().await?;
    let old = setup.instance.api.workspace("old").await?;
    let fill = setup.instance.fill().await?;
    fill.events_of_age(&old, bench.sizes.events, AGE_MINUTES).await?;
    fill.end().await?;
    setup.instance.start_again().await?;
    bench
        .progress
        .done(&what, &format!("{} events", counted(bench.sizes.events)));
    let deletes = kept == KEPT[1];
    for run in 1..=bench.runs {
        let what = format!("{NAME}, {}, {}, run {run}", engine.name(), row.name);
        bench.progress.doing(&what);
        let (before, start) = (deleted(&setup.instance.database).await?, time::nanos());
        let open = measure::open(setup.subject(), &setup.request()?, PER_SECOND, bench.lasting()).await?;
        let after = deleted(&setup.instance.database).await?;
        let rate = as_f64(after - before) / time::seconds(start, time::nanos());
        ensure!(
            !deletes || after < bench.sizes.events,
            "all {} events were deleted before run {run} had ended: --events has to be larger",
            bench.sizes.events
        );
        row.add(DELETED, rate);
        let [p50, p99, longest] = PUBLISH;
        row.add(p50, open.acknowledged.percentile(50.0));
        row.add(p99, open.acknowledged.percentile(99.0));
        row.add(longest, open.acknowledged.percentile(100.0));
        open.cost.add_to(row);
        bench.progress.done(
            &what,
            &format!(
                "p99 {} ms, {} {DELETED}",
                shown(open.acknowledged.percentile(99.0)),
                shown(rate)
            ),
        );
    }
    setup.instance.end().await
}

/// Events that were deleted so far.
async fn deleted(database: &Database) -> Result<u64> {
    let connection = database.connect().await?;
    let sql = "SELECT CAST(COALESCE(SUM(pruned_through), 0) AS BIGINT) FROM workspace_log";
    let asked = Statement::from_string(connection.get_database_backend(), sql);
    let row = connection.query_one_raw(asked).await?;
    let deleted: i64 = row.context("a sum is a row")?.try_get_by_index(0)?;
    connection.close().await?;
    Ok(u64::try_from(deleted)?)
}
