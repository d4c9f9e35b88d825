//! A run of the bench from its beginning to its report.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use pointsman_clock::Clock;

use crate::{
    arguments::Arguments,
    charts,
    database::{Engine, PostgresServer},
    fsync,
    latency::Latencies,
    progress::Progress,
    report::{Machine, Report, Table},
    scenarios, server_binary,
};

/// What every scenario needs to know.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) runs: u32,
    pub(crate) seconds: u64,
    /// Databases are made there too, so that they are on the disk of the source.
    pub(crate) out: PathBuf,
    pub(crate) server: PathBuf,
    pub(crate) progress: Progress,
    postgres: Option<PostgresServer>,
}

impl Bench {
    pub(crate) fn postgres(&self) -> Result<&PostgresServer> {
        self.postgres.as_ref().context("there is no PostgreSQL")
    }

    /// What the disk takes where this engine writes.
    pub(crate) fn fsync(&self, engine: Engine, lasting: Duration) -> Result<Latencies> {
        match engine {
            // The server's folder is its own where it runs as another user.
            Engine::Postgres => fsync::measure(self.postgres()?.folder.as_ref(), lasting)
                .or_else(|_| fsync::measure(&self.out, lasting)),
            Engine::Sqlite => fsync::measure(&self.out, lasting),
        }
    }

    /// The length of a run.
    pub(crate) fn lasting(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

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
            // Whatever happens later, this was measured.
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

#[expect(clippy::print_stdout, reason = "tables are what the bench is for")]
fn print(bench: &Bench, table: &Table) {
    bench.progress.aside(|| println!("{table}"));
}
