//! What the database has and had: the dead letters that were seen before they were deleted, and the log at the end.

use pointsman_test_kit::Workspace;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, QueryResult, Statement, Value};
use uuid::Uuid;

use crate::{event::Event, numbers::Numbers};

/// A letter is committed after its time by less than this.
const LATE_MS: i64 = 10_000;
/// Events of one read.
const PAGE: i64 = 2_000;

/// The events that became dead letters, collected before the letters are deleted.
#[derive(Debug, Default)]
pub(crate) struct Letters {
    pub(crate) seen: Numbers,
    newest: i64,
}

impl Letters {
    /// Reads those that have come since the last call.
    pub(crate) async fn collect(&mut self, database: &DatabaseConnection) {
        let sql = "SELECT actor, failed_at FROM dead_letter_event WHERE failed_at >= ? ORDER BY failed_at";
        for row in rows(database, sql, vec![(self.newest - LATE_MS).into()]).await {
            let failed_at = row.try_get_by_index(1).expect("a letter has a time");
            self.newest = self.newest.max(failed_at);
            if let Some(event) = event_of(&row) {
                self.seen.insert(event.0);
            }
        }
    }
}

/// The events that are in the log.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) events: Numbers,
    /// The first event that is not as it was published.
    pub(crate) wrong: Option<String>,
}

impl Log {
    pub(crate) async fn read(database: &DatabaseConnection, workspaces: &[Workspace]) -> Self {
        let mut log = Self::default();
        for (index, workspace) in workspaces.iter().enumerate() {
            log.read_one(database, workspace, index).await;
        }
        log
    }

    async fn read_one(&mut self, database: &DatabaseConnection, workspace: &Workspace, index: usize) {
        let id: Uuid = workspace.id.parse().expect("a workspace's id is a UUID");
        let sql = "SELECT actor, seq, event_key, payload FROM platform_event WHERE workspace_id = ? AND seq > ? \
                   ORDER BY seq LIMIT ?";
        let mut after: i64 = 0;
        loop {
            let page = rows(database, sql, vec![id.into(), after.into(), PAGE.into()]).await;
            for row in &page {
                after = row.try_get_by_index(1).expect("an event has a position");
                self.note(row, index);
            }
            if page.is_empty() {
                return;
            }
        }
    }

    fn note(&mut self, row: &QueryResult, workspace: usize) {
        let (key, payload): (String, String) = (
            row.try_get_by_index(2).expect("an event has a key"),
            row.try_get_by_index(3).expect("an event has a payload"),
        );
        let event = event_of(row).filter(|event| {
            event.workspace() == workspace && event.key() == key && event.payload() == payload
        });
        let is_ours_and_new = event.is_some_and(|event| self.events.insert(event.0));
        if !is_ours_and_new && self.wrong.is_none() {
            self.wrong = Some(format!("{key} {payload}"));
        }
    }
}

/// The event that the first column names.
fn event_of(row: &QueryResult) -> Option<Event> {
    let actor: Option<String> = row.try_get_by_index(0).expect("the first column is the actor");
    Event::of_actor(&actor?)
}

async fn rows(database: &DatabaseConnection, sql: &str, values: Vec<Value>) -> Vec<QueryResult> {
    let asked = Statement::from_sql_and_values(DbBackend::Sqlite, sql, values);
    database
        .query_all_raw(asked)
        .await
        .expect("the database can be read")
}
