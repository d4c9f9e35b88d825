//! A run of the bench, from its scenarios to its report.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use pointsman_clock::Clock;

use crate::{
    arguments::Arguments,
    bench::Bench,
    charts,
    database::PostgresServer,
    progress::Progress,
    report::{Machine, Report, Table},
    scenarios, server_binary,
};

pub(crate) async fn run(arguments: &Arguments, server: PathBuf, postgres: Option<String>) -> Result<()> {
    let postgres = match postgres {
        Some(url) => Some(PostgresServer::at(&url).await?),
        None => None,
    };
    let out = match &arguments.out {
        Some(out) => out.clone(),
        None => server_binary::target_folder()?.join("bench"),
    };
    std::fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    let mut report = Report {
        machine: Machine::this(postgres.as_ref().map(|server| server.version.clone())),
        started_at: Clock.wall().millis(),
        runs: arguments.runs,
        seconds: arguments.seconds,
        tables: Vec::new(),
    };
    let groups = scenarios::groups(&arguments.scenarios());
    let each: u64 = groups.iter().map(|group| group.steps(arguments.runs)).sum();
    let bench = Bench {
        runs: arguments.runs,
        seconds: arguments.seconds,
        sizes: arguments.sizes.clone(),
        out,
        server,
        progress: Progress::of(each * u64::try_from(arguments.engines().len())?),
        postgres,
    };
    for group in groups {
        for engine in arguments.engines() {
            let tables = group.run(&bench, *engine).await;
            let tables = tables.with_context(|| format!("{}, {}", group.name(), engine.name()))?;
            tables.iter().for_each(|table| print(&bench, table));
            report.tables.extend(tables);
            // Written after each table: an error later does not lose it.
            write(&bench.out, &report)?;
        }
    }
    bench.progress.finish();
    Ok(())
}

fn write(out: &Path, report: &Report) -> Result<()> {
    let mut files = vec![
        ("report.json".to_owned(), serde_json::to_string_pretty(report)?),
        ("report.md".to_owned(), report.to_string()),
    ];
    files.extend(charts::of(report));
    for (name, text) in files {
        let path = out.join(name);
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "tables are the output of the bench")]
fn print(bench: &Bench, table: &Table) {
    bench.progress.aside(|| println!("{table}"));
}
