//! Kills while a server migrates the database of an earlier version, whose log is moved in pieces.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use entity::platform_event;
use migration::{Migrator, MigratorTrait as _};
use pointsman_clock::Clock;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DatabaseConnection, DbBackend, EntityTrait as _, ExprTrait as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _, Statement,
};
use serde_json::json;
use uuid::Uuid;

use super::{
    super::{app::TestApp, database::Engine, eventually::PATIENCE, service::Service, workspace::Workspace},
    campaign::{Campaign, Tally},
    defects::defects,
    old_log,
};

/// Migrations that the earlier version knew: it kept the log in its former layout.
const KNOWN_BEFORE: usize = 9;
/// Events of the old log that are due to nobody, and that are due to the service in each round.
const EVENTS: i64 = 100_000;
const DUE: i64 = 50;
/// Kills of one round. A start after them has all the time that it needs.
const MOST_KILLS: u32 = 8;
/// Rounds in which at least one kill has to meet the move of the log.
const TELLING_ROUNDS: u32 = 8;
/// Events of one read.
const PAGE: u64 = 5_000;

/// Each round makes the database one of an earlier version, kills the server at random moments until it has started,
/// compares the log and has what is due delivered.
pub(crate) async fn run(campaign: Campaign) -> Tally {
    let mut random = StdRng::seed_from_u64(campaign.seed);
    let mut app = TestApp::start(campaign.engine).await;
    let service = Service::start().await;
    let workspace = app.workspace("acme").await;
    workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    let quiet = app.workspace("quiet").await;
    let id = id_of(&workspace);
    let mut tally = Tally::default();
    let status = app.stop().await;
    assert!(status.success(), "an ordered stop ends with {status}");
    let database = app.database().await;
    make_old(&database).await;
    old_log::append(&database, id, 0, EVENTS * 4 / 5, "old.event").await;
    old_log::append(&database, id_of(&quiet), 0, EVENTS / 5, "old.event").await;
    database.close().await.expect("a connection can be closed");
    let began = Clock.instant();
    comes_up(&mut app).await;
    let whole_start = Clock.elapsed(began);
    let mut met_the_move = 0;
    for round in 1..=campaign.rounds {
        let status = app.stop().await;
        assert!(status.success(), "an ordered stop ends with {status}");
        let database = app.database().await;
        make_old(&database).await;
        let head = head(&database, id).await;
        old_log::append(&database, id, head, DUE, "crm.deal.closed").await;
        let before = Log::read(&database).await;

        let mut kills = 0;
        // A third of the starts is left alone: they end this, with what the kills before them have left.
        while !app
            .start_again_within(random.random_range(Duration::ZERO..whole_start * 3 / 2))
            .await
        {
            kills += 1;
            met_the_move += u32::from(is_being_moved(&database).await);
            if kills == MOST_KILLS {
                comes_up(&mut app).await;
                break;
            }
        }
        tally.kills += u64::from(kills);
        let after = Log::read(&database).await;
        database.close().await.expect("a connection can be closed");
        tally.lost += before.count.abs_diff(after.count);
        if before != after {
            tally
                .violations
                .push(format!("round {round}: {before:?} became {after:?}"));
        }
        delivers(&app, &workspace, &service, &mut tally).await;
    }
    if campaign.engine == Engine::Sqlite && campaign.rounds >= TELLING_ROUNDS && met_the_move == 0 {
        tally
            .violations
            .push("no kill met the move of the log".to_owned());
    }
    tally.violations.extend(defects(&app).await);
    app.finish().await;
    tally
}

/// Starts the server, which takes the time that it needs.
async fn comes_up(app: &mut TestApp) {
    let is_ready = app.start_again_within(PATIENCE).await;
    assert!(is_ready, "the server does not come up");
}

/// Undoes the migrations that the earlier version did not know.
async fn make_old(database: &DatabaseConnection) {
    let unknown = u32::try_from(Migrator::migrations().len() - KNOWN_BEFORE).unwrap_or(0);
    let undone = Migrator::down(database, Some(unknown)).await;
    undone.unwrap_or_else(|error| panic!("{unknown} migrations are undone: {error}"));
}

async fn is_being_moved(database: &DatabaseConnection) -> bool {
    if database.get_database_backend() != DbBackend::Sqlite {
        return false;
    }
    let sql = "SELECT 1 FROM sqlite_schema WHERE name = 'platform_event_unmoved'";
    let found = database
        .query_one_raw(Statement::from_string(DbBackend::Sqlite, sql))
        .await;
    found.expect("the schema can be read").is_some()
}

/// What is due and one more event arrive.
async fn delivers(app: &TestApp, workspace: &Workspace, service: &Service, tally: &mut Tally) {
    workspace.publish("crm.deal.closed", json!({})).await;
    let due = DUE.unsigned_abs() + 1;
    tally.acknowledged += due;
    // A killed server may have delivered some before, so that they come again.
    service.received(tally.acknowledged).await;
    app.settled().await;
    tally.delivered += due;
}

fn id_of(workspace: &Workspace) -> Uuid {
    workspace.id.parse().expect("a workspace's id is a UUID")
}

async fn head(database: &DatabaseConnection, workspace: Uuid) -> i64 {
    let last = platform_event::Entity::find()
        .filter(platform_event::Column::WorkspaceId.eq(workspace))
        .order_by_desc(platform_event::Column::Seq)
        .limit(1)
        .one(database)
        .await;
    last.expect("the log can be read").map_or(0, |event| event.seq)
}

/// All events with all their columns, in the order of their logs.
#[derive(Debug, PartialEq, Eq)]
struct Log {
    count: u64,
    digest: u64,
}

impl Log {
    async fn read(database: &DatabaseConnection) -> Self {
        let mut digest = DefaultHasher::new();
        let (mut count, mut after) = (0, None::<(Uuid, i64)>);
        loop {
            let mut find = platform_event::Entity::find();
            if let Some((workspace, seq)) = after {
                let later =
                    platform_event::Column::WorkspaceId
                        .gt(workspace)
                        .or(platform_event::Column::WorkspaceId
                            .eq(workspace)
                            .and(platform_event::Column::Seq.gt(seq)));
                find = find.filter(later);
            }
            let page = find
                .order_by_asc(platform_event::Column::WorkspaceId)
                .order_by_asc(platform_event::Column::Seq)
                .limit(PAGE)
                .all(database)
                .await
                .expect("the log can be read");
            for event in &page {
                format!("{event:?}").hash(&mut digest);
                count += 1;
            }
            let Some(last) = page.last() else {
                return Self {
                    count,
                    digest: digest.finish(),
                };
            };
            after = Some((last.workspace_id, last.seq));
        }
    }
}
