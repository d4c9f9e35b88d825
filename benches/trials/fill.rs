//! Rows in the server's own form, written while it is stopped: a million publishes would take minutes.

use pointsman_clock::Clock;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend};
use uuid::Uuid;

use pointsman_test_kit::{TestApp, Workspace};

/// Beside its number each payload has this many bytes.
const FILLER: usize = 150;

/// Writes into the database of a server that is stopped.
pub(crate) struct Fill {
    connection: DatabaseConnection,
}

impl Fill {
    pub(crate) async fn of(app: &TestApp) -> Self {
        Self {
            connection: app.database().await,
        }
    }

    /// Appends so many events to the workspace's log, with the payload `{"n": seq, …}`.
    pub(crate) async fn events(&self, workspace: &Workspace, count: u64) {
        let (workspace_id, now) = (self.uuid(&workspace.id), Clock.wall().millis());
        let head =
            format!("(SELECT COALESCE(MAX(seq), 0) FROM platform_event WHERE workspace_id = {workspace_id})");
        let (id, filler) = (self.id_of("i"), "x".repeat(FILLER));
        self.execute(&format!(
            "INSERT INTO platform_event (workspace_id, seq, id, event_key, payload, occurred_at)
             SELECT {workspace_id}, h + i, {id}, 'crm.deal.closed',
                    '{{\"n\":' || CAST(h + i AS TEXT) || ',\"filler\":\"{filler}\"}}', {now}
             FROM {}, (SELECT {head} AS h) AS heads",
            self.numbers(count)
        ))
        .await;
    }

    /// Parks every event of the workspace beyond the cursor for the installation, after one attempt, and moves
    /// the cursor to the head.
    pub(crate) async fn park(&self, installation: &str, in_minutes: i64) {
        let (installation, due) = (self.uuid(installation), minutes_from_now(in_minutes));
        self.execute(&format!(
            "INSERT INTO ext_delivery_retry
                 (installation_id, kind, event_id, workspace_id, seq, attempts, next_attempt_at, last_error)
             SELECT c.installation_id, 'LIVE', e.id, e.workspace_id, e.seq, 1, {due}, 'no connection'
             FROM ext_delivery_cursor c
             JOIN platform_event e ON e.workspace_id = c.workspace_id AND e.seq > c.settled_seq
             WHERE c.installation_id = {installation}
             ON CONFLICT DO NOTHING"
        ))
        .await;
        self.execute(&format!(
            "UPDATE ext_delivery_cursor SET settled_seq =
                 (SELECT MAX(seq) FROM platform_event e WHERE e.workspace_id = ext_delivery_cursor.workspace_id)
             WHERE installation_id = {installation}"
        ))
        .await;
    }

    /// Makes everything parked due now.
    pub(crate) async fn make_due(&self) {
        let now = minutes_from_now(0);
        self.execute(&format!("UPDATE ext_delivery_retry SET next_attempt_at = {now}"))
            .await;
    }

    /// Makes so many workspaces with an installation like this one each, and one event delivered to it.
    pub(crate) async fn workspaces(&self, like_installation: &str, count: u64) {
        let (like, numbers) = (self.uuid(like_installation), self.numbers(count));
        let (id, now) = (self.id_of("i"), Clock.wall().millis());
        for sql in [
            format!("INSERT INTO workspace (id, name, created_at) SELECT {id}, 'idle', {now} FROM {numbers}"),
            format!(
                "INSERT INTO ext_installation (id, workspace_id, key, name, delivery_type, service_base_url,
                     signing_secret, headers, enabled, paused, revision, installed_at, installed_seq, closed)
                 SELECT {id}, {id}, o.key, o.name, o.delivery_type, o.service_base_url, o.signing_secret,
                     o.headers, o.enabled, o.paused, o.revision, {now}, 0, o.closed
                 FROM {numbers}, ext_installation o WHERE o.id = {like}"
            ),
            format!(
                "INSERT INTO ext_event_subscription
                     (id, subscription_id, installation_id, workspace_id, event_key, from_seq, created_at)
                 SELECT {id}, {id}, {id}, {id}, 'crm.**', 0, {now} FROM {numbers}"
            ),
            format!(
                "INSERT INTO ext_delivery_cursor (installation_id, workspace_id, settled_seq, generation)
                 SELECT {id}, {id}, 1, 1 FROM {numbers}"
            ),
            format!(
                "INSERT INTO platform_event (workspace_id, seq, id, event_key, payload, occurred_at)
                 SELECT {id}, 1, {id}, 'crm.deal.closed', '{{}}', {now} FROM {numbers}"
            ),
        ] {
            self.execute(&sql).await;
        }
    }

    pub(crate) async fn end(self) {
        if self.connection.get_database_backend() == DbBackend::Postgres {
            self.execute("ANALYZE").await;
        }
        self.connection.close().await.expect("a connection can be closed");
    }

    async fn execute(&self, sql: &str) {
        let done = self.connection.execute_unprepared(sql).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// A table `n` with the column `i`, from 1.
    fn numbers(&self, count: u64) -> String {
        match self.connection.get_database_backend() {
            DbBackend::Postgres => format!("generate_series(1, {count}) AS n(i)"),
            _ => format!(
                "(WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < {count})
                 SELECT i FROM r) AS n"
            ),
        }
    }

    /// A UUID of version 7, made of a number.
    fn id_of(&self, number: &str) -> String {
        match self.connection.get_database_backend() {
            DbBackend::Postgres => {
                format!("('01900000-0000-7000-8000-' || lpad(to_hex({number}), 12, '0'))::uuid")
            }
            _ => format!("unhex('01900000000070008000' || printf('%012x', {number}))"),
        }
    }

    fn uuid(&self, text: &str) -> String {
        let uuid: Uuid = text.parse().expect("the API shows a UUID");
        match self.connection.get_database_backend() {
            DbBackend::Postgres => format!("'{uuid}'::uuid"),
            _ => format!("x'{}'", uuid.simple()),
        }
    }
}

fn minutes_from_now(minutes: i64) -> i64 {
    Clock.wall().millis() + minutes * 60_000
}
