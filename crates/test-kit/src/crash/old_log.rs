//! Many events that an earlier time has left, written past the server while it is stopped.

use entity::workspace_log;
use pointsman_clock::Clock;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, EntityTrait as _, Statement, Value};
use uuid::Uuid;

use super::super::{app::TestApp, eventually::eventually};

/// Events for each round of a campaign: a server that lives as long as one of its lives cannot delete them all.
const EVENTS_PER_ROUND: u32 = 2_000;
/// The key of all of them; no installation of a campaign is subscribed to it.
const KEY: &str = "old.event";
/// How old the events are: older than anything that a campaign keeps for a short time.
const AGE_MS: i64 = 60 * 60 * 1000;

/// A workspace whose whole log is old.
pub(crate) struct OldLog {
    workspace: Uuid,
}

impl OldLog {
    /// Stops the server, fills the log of a new workspace, and starts the server again.
    pub(crate) async fn fill(app: &mut TestApp, rounds: u32) -> Self {
        let workspace = app.workspace("old").await.id;
        let old = Self {
            workspace: workspace.parse().expect("a workspace's id is a UUID"),
        };
        let events = i64::from(EVENTS_PER_ROUND * rounds);
        let status = app.stop().await;
        assert!(status.success(), "an ordered stop ends with {status}");
        let database = app.database().await;
        append(&database, old.workspace, 0, events, KEY).await;
        database.close().await.expect("a connection can be closed");
        app.start_again().await;
        old
    }

    /// Waits until some of it is deleted: the kills met a server that deletes. That all of it goes depends on the time
    /// that the writer has for it.
    pub(crate) async fn is_being_deleted(&self, app: &TestApp) {
        let database = app.database().await;
        eventually("some of the old log is deleted", async || {
            let log = workspace_log::Entity::find_by_id(self.workspace)
                .one(&database)
                .await;
            let log = log.expect("the state of the log can be read");
            log.map(drop).ok_or("nothing is deleted")
        })
        .await;
        database.close().await.expect("a connection can be closed");
    }
}

/// Appends so many events of this key to the log after the position `head`, with payloads of up to 1 KiB, also some
/// longer ones and columns that are NULL.
pub(crate) async fn append(
    database: &DatabaseConnection,
    workspace: Uuid,
    head: i64,
    events: i64,
    key: &str,
) {
    let backend = database.get_database_backend();
    let (id, fill, [first, second]) = match backend {
        DbBackend::Sqlite => (
            "randomblob(16)",
            "substr(hex(zeroblob(CASE WHEN n % 1000 = 0 THEN 20000 ELSE n % 500 END)), 1)",
            ["?", "?"],
        ),
        _ => (
            "gen_random_uuid()",
            "repeat('0', CASE WHEN n % 1000 = 0 THEN 40000 ELSE n % 1000 END)",
            ["$1", "$2"],
        ),
    };
    let last = head + events;
    let sql = format!(
        "WITH RECURSIVE numbers (n) AS (SELECT {head} + 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {last}) \
         INSERT INTO platform_event (workspace_id, seq, id, event_key, actor, payload, occurred_at, causation_id, \
         causation_depth) \
         SELECT {first}, n, {id}, '{key}', CASE WHEN n % 2 = 0 THEN 'ann' END, \
         '{{\"n\" : ' || n || ',\"fill\":\"caf\\u00e9 ' || {fill} || '\"}}', {second} + n, \
         CASE WHEN n % 3 = 0 THEN {id} END, n % 3 FROM numbers"
    );
    let values: [Value; 2] = [workspace.into(), (Clock.wall().millis() - AGE_MS - last).into()];
    let appended = database
        .execute_raw(Statement::from_sql_and_values(backend, sql, values))
        .await;
    appended.unwrap_or_else(|error| panic!("{events} events are appended: {error}"));
}
