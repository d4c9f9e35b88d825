//! Reads of subscriptions, and what they look at beside a long history.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use migration::MigratorTrait as _;
use pointsman_test_databases::ScratchDatabase;
use sea_orm::{DatabaseTransaction, QueryTrait as _, TransactionTrait as _};

use super::*;
use crate::fixture::Fixture;

#[tokio::test]
async fn a_subscription_survives_that_its_installation_is_disabled_and_ends_when_it_is_unsubscribed() {
    let db = Fixture::new().await;
    let ours = db.workspace();
    let crm = db.install(ours, "crm").await;
    let disabled = db.span(ours, crm, "a.*", 0, Some((4, "DISABLED"))).await;
    let enabled_again = db.span(ours, crm, "b.*", 0, Some((4, "DISABLED"))).await;
    db.another_span(ours, crm, enabled_again, "b.*", 6, None).await;
    let ended = db.span(ours, crm, "c.*", 0, Some((4, "DISABLED"))).await;
    db.another_span(ours, crm, ended, "c.*", 6, Some((6, "UNSUBSCRIBED")))
        .await;

    let ids: Vec<_> = list(&db.conn, ours, crm)
        .await
        .unwrap()
        .into_iter()
        .map(|s| s.id)
        .collect();
    assert_eq!(ids, [enabled_again, disabled]);
}

#[tokio::test]
async fn spans_of_another_workspace_are_never_read() {
    let db = Fixture::new().await;
    let (ours, theirs) = (db.workspace(), db.workspace());
    let crm = db.install(ours, "crm").await;
    db.span(ours, crm, "a.*", 0, None).await;

    assert!(list(&db.conn, theirs, crm).await.unwrap().is_empty());
    assert!(
        deciding_spans(&db.conn, theirs, Seq::new(5))
            .await
            .unwrap()
            .is_empty()
    );
    let beyond = async |workspace| spans_beyond(&db.conn, workspace, crm, Seq::ZERO).await.unwrap();
    assert_eq!(beyond(ours).await.len(), 1);
    assert!(beyond(theirs).await.is_empty());
    let pattern = EventPattern::parse("a.*").unwrap();
    let found = async |workspace| find_by_pattern(&db.conn, workspace, crm, &pattern).await.unwrap();
    assert!(found(ours).await.is_some() && found(theirs).await.is_none());
}

/// Subscriptions of the installation.
const SUBSCRIPTIONS: usize = 200;
/// Spans of each that have ended, with an event in each and one in between.
const ENDED: i64 = 500;

/// An installation with a long history, and what reads of it look at.
struct History {
    db: Fixture,
    workspace: WorkspaceId,
    installation: InstallationId,
    /// On SQLite the instructions of its virtual machine, a few dozen for each row.
    instructions: Arc<AtomicU64>,
}

impl History {
    async fn on_sqlite() -> Self {
        let history = Self::new(Fixture::new().await).await;
        let pool = history.db.conn.get_sqlite_connection_pool();
        let mut pooled = pool.acquire().await.unwrap();
        let instructions = Arc::clone(&history.instructions);
        pooled
            .lock_handle()
            .await
            .unwrap()
            .set_progress_handler(1, move || {
                instructions.fetch_add(1, Ordering::Relaxed);
                true
            });
        drop(pooled);
        history
    }

    async fn on_postgres() -> Self {
        let conn = ScratchDatabase::postgres().await.client().await;
        migration::Migrator::up(&conn, None).await.unwrap();
        Self::new(Fixture { conn }).await
    }

    async fn new(db: Fixture) -> Self {
        let workspace = db.workspace();
        let installation = db.install(workspace, "crm").await;
        for number in 0..SUBSCRIPTIONS {
            let pattern = format!("a.b{number}");
            db.span(workspace, installation, &pattern, 2 * ENDED, None).await;
        }
        let ended = db.span(workspace, installation, "z.*", 3, Some((4, "UNSUBSCRIBED")));
        ended.await;
        let history = Self {
            db,
            workspace,
            installation,
            instructions: Arc::default(),
        };
        let id = match history.is_sqlite() {
            true => "randomblob(16)",
            false => "gen_random_uuid()",
        };
        let sql = format!(
            "INSERT INTO ext_event_subscription (id, subscription_id, installation_id, workspace_id, event_key, \
             from_seq, until_seq, closed_by, is_current, created_at) \
             WITH RECURSIVE n (x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM n WHERE x < {ENDED} - 1) \
             SELECT {id}, s.subscription_id, s.installation_id, s.workspace_id, s.event_key, 2 * x, 2 * x + 1, \
             'DISABLED', FALSE, 0 FROM ext_event_subscription s CROSS JOIN n WHERE s.is_current"
        );
        for sql in [sql.as_str(), "ANALYZE"] {
            history.db.conn.execute_unprepared(sql).await.unwrap();
        }
        history
    }

    fn is_sqlite(&self) -> bool {
        self.db.conn.get_database_backend() == DbBackend::Sqlite
    }

    /// Reads, and looks at no more than so many rows of spans.
    async fn read<T>(&self, rows: u64, read: impl AsyncFnOnce(&DatabaseTransaction) -> T) -> T {
        let transaction = self.db.conn.begin().await.unwrap();
        let before = self.looked_at(&transaction).await;
        let found = read(&transaction).await;
        let looked_at = self.looked_at(&transaction).await - before;
        let bound = if self.is_sqlite() { 1_000 + 60 * rows } else { rows };
        assert!(looked_at <= bound, "{looked_at}, at most {bound}");
        transaction.commit().await.unwrap();
        found
    }

    async fn looked_at(&self, transaction: &DatabaseTransaction) -> u64 {
        if self.is_sqlite() {
            return self.instructions.load(Ordering::Relaxed);
        }
        let sql = "SELECT seq_tup_read + COALESCE(idx_tup_fetch, 0) AS it FROM pg_stat_xact_user_tables \
                   WHERE relname = 'ext_event_subscription'";
        let statement = Statement::from_string(DbBackend::Postgres, sql);
        let row = transaction.query_one_raw(statement).await.unwrap().unwrap();
        let rows: i64 = row.try_get("", "it").unwrap();
        rows.try_into().unwrap()
    }
}

async fn no_read_depends_on_the_history(history: History) {
    let (ours, crm) = (history.workspace, history.installation);
    let current = SUBSCRIPTIONS as u64;
    let listed = history
        .read(current, async |conn| list(conn, ours, crm).await.unwrap())
        .await;
    assert_eq!(listed.len(), SUBSCRIPTIONS);

    let pattern = EventPattern::parse("a.b7").unwrap();
    let found = history
        .read(1, async |conn| {
            find_by_pattern(conn, ours, crm, &pattern).await.unwrap()
        })
        .await;
    assert_eq!(found.map(|found| found.pattern), Some(pattern));

    let settled = Seq::new(2 * ENDED - 1);
    let beyond = history
        .read(current, async |conn| {
            spans_beyond(conn, ours, crm, settled).await.unwrap()
        })
        .await;
    assert_eq!(beyond.len(), SUBSCRIPTIONS);

    // Three look-ups for each subscription: the next one, the span that decides, and its row.
    for (seq, ended) in [(3, 0), (4, 1), (501, 1), (2 * ENDED, 1), (2 * ENDED + 7, 1)] {
        let seq = Seq::new(seq);
        let deciding = history
            .read(3 * (current + 2), async |conn| {
                deciding_spans(conn, ours, seq).await.unwrap()
            })
            .await;
        let spans = &deciding[&crm];
        assert_eq!(spans.len(), SUBSCRIPTIONS + ended, "at {seq}");
        let is_deciding = |span: &Span| {
            let begins = (seq.get() - 1) / 2 * 2;
            span.from_seq.get() == begins.min(2 * ENDED) || span.pattern.as_str() == "z.*"
        };
        assert!(spans.iter().all(is_deciding), "at {seq}");
    }
}

#[tokio::test]
async fn no_read_depends_on_the_history_on_sqlite() {
    no_read_depends_on_the_history(History::on_sqlite().await).await;
}

#[tokio::test]
async fn no_read_depends_on_the_history_on_postgres() {
    no_read_depends_on_the_history(History::on_postgres().await).await;
}

#[tokio::test]
async fn spans_are_found_by_their_indexes() {
    let db = Fixture::new().await;
    let ours = db.workspace();
    let crm = db.install(ours, "crm").await;
    let backend = db.conn.get_database_backend();
    for (mut statement, index) in [
        (
            current(ours, crm).build(backend),
            "ext_event_subscription_current (installation_id=? AND is_current=?)",
        ),
        (
            deciding_sql(ours, Seq::new(7), backend),
            "ext_event_subscription_place (workspace_id=? AND subscription_id=? AND from_seq<?)",
        ),
        (
            beyond_sql(ours, crm, Seq::new(7), backend),
            "ext_event_subscription_installation (installation_id=? AND until_seq>?)",
        ),
    ] {
        statement.sql.insert_str(0, "EXPLAIN QUERY PLAN ");
        let steps = db.conn.query_all_raw(statement).await.unwrap();
        let steps = steps.iter().map(|step| step.try_get("", "detail").unwrap());
        let plan = steps.collect::<Vec<String>>().join("\n");
        assert!(plan.contains(index), "{plan}");
        let walks = |line: &str| ["SCAN s", "SCAN ext_event_subscription"].contains(&line);
        assert!(
            !plan.contains("TEMP B-TREE") && !plan.lines().any(walks),
            "{plan}"
        );
    }
}
