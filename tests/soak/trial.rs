//! The trial from its beginning to its verdict.

use std::time::Duration;

use futures_util::future::join;
use pointsman_clock::Clock;
use pointsman_domain::timestamp::Timestamp;
use pointsman_test_kit::{Engine, MIB, TestApp, Workspace};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    event::{AUDIT_LOGGED, WORKSPACES},
    ledger::{Letters, Log},
    line,
    publishers::Publishers,
    receivers::{Receivers, Taken},
    samples::{Sample, Table, Watch},
    verdict::{LONGEST_LOG, Losses, growth},
};

/// How long events and attempts are kept: the month of the trial.
const KEPT: Duration = Duration::from_secs(60);
/// Letters outlive the log.
const LETTERS_KEPT: Duration = Duration::from_secs(120);
/// Between two looks at the write-ahead log.
const LOOK: Duration = Duration::from_millis(250);
const LOOKS_PER_SAMPLE: usize = 20;
const LOOKS_PER_MINUTE: usize = 240;

/// Returns what is broken.
pub(crate) async fn run(lasting: Duration) -> Vec<String> {
    let app = TestApp::with(Engine::Sqlite, |settings| {
        settings
            .set("server.workers", 2)
            .set("router.threads", 2)
            .set("database.max_connections", 16)
            .set("retention.events", format!("{}s", KEPT.as_secs()))
            .set("retention.attempts", format!("{}s", KEPT.as_secs()))
            .set("retention.dead_letters", format!("{}s", LETTERS_KEPT.as_secs()))
            .retrying_after(&["200ms", "1s"])
    })
    .await;
    let receivers = Receivers::start();
    let workspaces = workspaces(&app, &receivers).await;
    let publishers = Publishers::new(&workspaces, &receivers.taken);
    let watch = Watch {
        app: &app,
        database: app.database().await,
    };
    let mut letters = Letters::default();
    let watching = async {
        let seen = watched(&watch, &publishers, &receivers.taken, &mut letters, lasting).await;
        publishers.stop();
        seen
    };
    let ((), seen) = join(publishers.publish(), watching).await;
    app.settled().await;
    letters.collect(&watch.database).await;
    let log = Log::read(&watch.database, &workspaces).await;
    let kept_from = seen.begun_before(Clock.wall() - KEPT);
    let losses = Losses::of(&publishers, &receivers.taken, &letters, &log, kept_from);
    let checked = app.run(&["check"], |settings| settings).await;
    let Watch { database, .. } = watch;
    database.close().await.expect("a connection can be closed");
    app.finish().await;

    let (sizes, mut broken) = growth(&seen.samples, lasting);
    let refused = publishers.refused();
    line("");
    line(&format!(
        "{} acknowledged, {} of them dead letters, {} still in the log, {} lost; {} publishes were not acknowledged",
        losses.acknowledged,
        losses.letters,
        log.events.count(),
        losses.lost(),
        refused.count
    ));
    line(&format!(
        "{sizes}; the write-ahead log had {} MiB at most, of {}",
        seen.longest_log / MIB,
        LONGEST_LOG / MIB
    ));
    if let Some(first) = refused.first {
        line(&format!("the first that was not acknowledged: {first}"));
    }
    if seen.longest_log > LONGEST_LOG {
        broken.push(format!("the write-ahead log had {} MiB", seen.longest_log / MIB));
    }
    broken.extend(losses.broken());
    if !checked.stdout.starts_with("nothing is wrong") {
        broken.push(format!("check: {checked:?}"));
    }
    let wrong = [log.wrong, receivers.taken.wrong()].into_iter().flatten();
    broken.extend(wrong.map(|what| format!("not as it was published: {what}")));
    broken
}

/// The workspaces, with both services in each.
async fn workspaces(app: &TestApp, receivers: &Receivers) -> Vec<Workspace> {
    let mut workspaces = Vec::new();
    for number in 0..WORKSPACES {
        let workspace = app.workspace(&format!("workspace {number}")).await;
        for (service, pattern) in [("good", "crm.**"), ("failing", AUDIT_LOGGED)] {
            workspace
                .install_at(service, receivers.url(service, number))
                .subscribed_to(&[pattern])
                .await;
        }
        workspaces.push(workspace);
    }
    workspaces
}

/// What was seen while the load went on.
#[derive(Debug, Default)]
struct Seen {
    samples: Vec<Sample>,
    longest_log: u64,
    /// At these times, all events that had been begun had numbers below these.
    begun: Vec<(Timestamp, u64)>,
}

impl Seen {
    /// Every event that has this number or a higher one was begun after the time.
    fn begun_before(&self, time: Timestamp) -> u64 {
        let next = self.begun.iter().find(|(at, _)| *at >= time);
        next.map_or(u64::MAX, |(_, begun)| *begun)
    }
}

async fn watched(
    watch: &Watch<'_>,
    publishers: &Publishers,
    taken: &Taken,
    letters: &mut Letters,
    lasting: Duration,
) -> Seen {
    let began = Clock.instant();
    let (mut seen, mut table) = (Seen::default(), Table::default());
    let (mut looks, mut log_of_minute) = (0, 0);
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    Table::head();
    // The first tick is at once.
    ticks.tick().await;
    while Clock.elapsed(began) < lasting {
        ticks.tick().await;
        looks += 1;
        log_of_minute = watch.log_bytes().max(log_of_minute);
        seen.begun.push((Clock.wall(), publishers.begun()));
        if looks % LOOKS_PER_SAMPLE == 0 {
            seen.samples.push(watch.sample(Clock.elapsed(began)));
            letters.collect(&watch.database).await;
        }
        if looks % LOOKS_PER_MINUTE == 0 {
            let minute = looks / LOOKS_PER_MINUTE;
            let delivered = taken.by_good.count();
            table
                .minute(watch, publishers, minute, log_of_minute, delivered)
                .await;
            seen.longest_log = seen.longest_log.max(log_of_minute);
            log_of_minute = 0;
        }
    }
    seen.longest_log = seen.longest_log.max(log_of_minute);
    seen
}
