//! The command line.

use std::time::Duration;

use clap::{Parser, ValueEnum};

use pointsman_test_kit::{Engine, Settings, TestApp};

/// Trials of the real binary under load.
#[derive(Debug, Parser)]
struct CommandLine {
    /// Which ones; all without any.
    #[arg(value_enum)]
    trials: Vec<Trial>,
    #[arg(long, value_enum, default_value = "sqlite")]
    engine: Database,
    /// Undelivered events, or parked retries.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Of each measured phase.
    #[arg(long, default_value_t = 12)]
    seconds: u64,
    /// Installations that hang.
    #[arg(long, default_value_t = 50)]
    hanging: usize,
    /// Let the breaker open for those who hang, as it does by default: without it they hang with all their
    /// concurrency, all the time.
    #[arg(long)]
    breaker: bool,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Trial {
    Neighbours,
    Flood,
    Backlog,
    Retries,
    Workspaces,
    Overload,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Database {
    Sqlite,
    Postgres,
}

#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) trials: Vec<Trial>,
    pub(crate) events: u64,
    pub(crate) phase: Duration,
    pub(crate) hanging: usize,
    pub(crate) breaker: bool,
    engine: Engine,
}

impl Arguments {
    pub(crate) fn of_this_process() -> Self {
        let given = CommandLine::parse();
        let trials = match given.trials.as_slice() {
            [] => Trial::value_variants().to_vec(),
            some => some.to_vec(),
        };
        Self {
            trials,
            events: given.events,
            phase: Duration::from_secs(given.seconds),
            hanging: given.hanging,
            breaker: given.breaker,
            engine: match given.engine {
                Database::Sqlite => Engine::Sqlite,
                Database::Postgres => Engine::Postgres,
            },
        }
    }

    /// A server with the defaults of Pointsman, but for what the trial changes.
    pub(crate) async fn server(&self, choose: impl FnOnce(Settings) -> Settings) -> TestApp {
        TestApp::with(self.engine, |settings| {
            let settings = settings
                .set("server.workers", 0)
                .set("router.threads", 0)
                .set("database.max_connections", 16)
                .set("delivery.timeout", "15s")
                .set("delivery.jitter", "0.2")
                .set("log.level", "warn")
                .retrying_after(&["5s", "1m", "5m", "30m", "2h", "5h", "10h"]);
            choose(settings)
        })
        .await
    }

    pub(crate) fn engine_name(&self) -> &'static str {
        match self.engine {
            Engine::Sqlite => "SQLite",
            Engine::Postgres => "PostgreSQL",
        }
    }
}

/// Ends the server of a trial, whatever that leaves undone.
pub(crate) async fn end(mut app: TestApp) {
    let connection = app.database().await;
    app.kill();
    app.clean_up(connection).await;
}
