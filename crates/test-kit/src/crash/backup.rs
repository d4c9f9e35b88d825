//! Kills of `pointsman backup` beside a server under load, and of `pointsman restore`.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    time::Duration,
};

use entity::platform_event;
use futures_util::future::join;
use pointsman_clock::Clock;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use sea_orm::{Database, EntityTrait as _, QuerySelect as _};
use uuid::Uuid;

use super::{
    super::{app::TestApp, load::Load, service::Service, workspace::Workspace},
    campaign::{Campaign, Tally},
    defects::defects,
};

/// Kills of each round, of the backup and of the restore.
const KILLS: u32 = 3;
/// The file of the backups, in the folder of the server.
const FILE: &str = "backup.db";

/// In each round a backup is killed at random moments under load, then one is made; then the server is killed, and so
/// is the restore of that backup.
pub(crate) async fn run(campaign: Campaign) -> Tally {
    let mut random = StdRng::seed_from_u64(campaign.seed);
    let mut app = TestApp::start(campaign.engine).await;
    let service = Service::start().await;
    let workspace = app.workspace("acme").await;
    workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    let mut tally = Tally::default();
    for round in 1..=campaign.rounds {
        let what = format!("round {round}");
        let (before, all) = backed_up(&app, &workspace, &mut random, &what, &mut tally).await;
        app.kill();
        tally.kills += 1;
        restored(&app, &before, &all, &mut random, &what, &mut tally).await;
        remove(&app, "pointsman.db.replaced-");
        remove(&app, FILE);
        app.start_again().await;
        app.settled().await;
        tally.delivered += before.len() as u64;
    }
    tally.violations.extend(defects(&app).await);
    app.finish().await;
    tally
}

/// Makes a backup under load, after some that are killed. Returns what was acknowledged before it, and what in all.
async fn backed_up(
    app: &TestApp,
    workspace: &Workspace,
    random: &mut StdRng,
    what: &str,
    tally: &mut Tally,
) -> (Vec<Uuid>, Vec<Uuid>) {
    let file = app.folder().join(FILE);
    let load = Load::on(workspace);
    let backups = async {
        load.acknowledges(random.random_range(20..200)).await;
        let took = made(app, &file).await;
        let mut before = acknowledged(&load);
        for _ in 0..KILLS {
            std::fs::remove_file(&file).expect("the backup is there");
            let after = random.random_range(Duration::ZERO..took * 2);
            let ended = app.run_and_die(&["backup", &shown(&file)], after).await;
            tally.kills += u64::from(ended.is_none());
            holds(app, &file, &before, what, tally).await;
            if file.exists() {
                std::fs::remove_file(&file).expect("the backup can be removed");
            } else if ended.is_some() {
                tally
                    .violations
                    .push(format!("{what}: a backup that ended is not there"));
            }
            load.acknowledges(20).await;
            before = acknowledged(&load);
            made(app, &file).await;
        }
        load.acknowledges(20).await;
        load.stop();
        before
    };
    let ((), before) = join(load.publish(), backups).await;
    holds(app, &file, &before, what, tally).await;
    tally.acknowledged += before.len() as u64;
    (before, acknowledged(&load))
}

/// Makes a backup, and says how long that took.
async fn made(app: &TestApp, file: &Path) -> Duration {
    let began = Clock.instant();
    let ended = app.run(&["backup", &shown(file)], |settings| settings).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    Clock.elapsed(began)
}

/// A backup that is there is whole: it has what was acknowledged before it, and nothing is wrong with it. Beside it
/// there is only what says by its name that it is partial.
async fn holds(app: &TestApp, file: &Path, before: &[Uuid], what: &str, tally: &mut Tally) {
    let partial = format!("{FILE}.partial");
    let others = names(app, FILE);
    for name in others
        .iter()
        .filter(|name| *name != FILE && !name.starts_with(&partial))
    {
        tally.violations.push(format!("{what}: {name} is left"));
    }
    if !file.exists() {
        return;
    }
    let checked = app.run(&["check", &shown(file)], |settings| settings).await;
    if !checked.stdout.starts_with("nothing is wrong") {
        tally
            .violations
            .push(format!("{what}: check of a backup: {checked:?}"));
    }
    let missing = missing(&[file.to_owned()], before).await;
    if missing > 0 {
        tally.lost += missing;
        tally
            .violations
            .push(format!("{what}: {missing} events are not in a backup"));
    }
}

/// Restores the backup, after some restores that are killed. At every moment there is a whole database in place, which
/// is the former or the restored one; the former is kept beside the restored one.
async fn restored(
    app: &TestApp,
    before: &[Uuid],
    all: &[Uuid],
    random: &mut StdRng,
    what: &str,
    tally: &mut Tally,
) {
    let database = app.folder().join("pointsman.db");
    let file = shown(&app.folder().join(FILE));
    let arguments = ["restore", &file, "--replace"];
    let mut took = Duration::from_millis(500);
    for kill in 0..=KILLS {
        let began = Clock.instant();
        let ended = if kill == KILLS {
            Some(app.run(&arguments, |settings| settings).await)
        } else {
            app.run_and_die(&arguments, random.random_range(Duration::ZERO..took))
                .await
        };
        match ended {
            None => tally.kills += 1,
            Some(ended) => {
                assert_eq!(ended.code, Some(0), "{ended:?}");
                took = Clock.elapsed(began);
            }
        }
        if let Some(defect) = defects(app).await {
            tally.violations.push(format!("{what}, restore {kill}: {defect}"));
        }
        let former = names(app, "pointsman.db.replaced-");
        let former = former.iter().map(|name| app.folder().join(name));
        let files: Vec<PathBuf> = former.chain([database.clone()]).collect();
        let lost = missing(std::slice::from_ref(&database), before).await + missing(&files, all).await;
        if lost > 0 {
            tally.lost += lost;
            tally
                .violations
                .push(format!("{what}, restore {kill}: {lost} events are gone"));
        }
    }
}

/// How many of these events are in none of the files.
async fn missing(files: &[PathBuf], events: &[Uuid]) -> u64 {
    let mut found = HashSet::new();
    for file in files {
        let database = Database::connect(format!("sqlite://{}", file.display())).await;
        let database = database.expect("the file can be opened");
        let ids = platform_event::Entity::find()
            .select_only()
            .column(platform_event::Column::Id)
            .into_tuple::<Uuid>()
            .all(&database)
            .await;
        found.extend(ids.expect("the log can be read"));
        database.close().await.expect("a connection can be closed");
    }
    events.iter().filter(|event| !found.contains(*event)).count() as u64
}

fn acknowledged(load: &Load) -> Vec<Uuid> {
    let acknowledged = load.ledger().acknowledged;
    let ids = acknowledged.iter().map(|(_, id)| id.parse());
    ids.collect::<Result<_, _>>().expect("an event's id is a UUID")
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// The names in the folder of the server that begin with this.
fn names(app: &TestApp, beginning: &str) -> Vec<String> {
    let entries = std::fs::read_dir(app.folder()).expect("the folder can be read");
    let names = entries.map(|entry| {
        entry
            .expect("an entry")
            .file_name()
            .to_string_lossy()
            .into_owned()
    });
    names.filter(|name| name.starts_with(beginning)).collect()
}

fn remove(app: &TestApp, beginning: &str) {
    for name in names(app, beginning) {
        std::fs::remove_file(app.folder().join(name)).expect("the file can be removed");
    }
}
