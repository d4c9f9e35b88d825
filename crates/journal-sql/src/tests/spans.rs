//! What a change of an admin and a view look at does not depend on the history of spans.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use migration::{Migrator, MigratorTrait};
use pointsman_journal::admin::installation::SpansNeeded;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, Statement, TransactionTrait,
};

use super::*;
use crate::{due, installations, spans};
use pointsman_domain::{
    installation::{Installation, NewInstallation},
    span::Span,
};

/// Subscriptions of the installation.
const SUBSCRIPTIONS: usize = 200;
/// Spans of each that have ended, with events in between.
const ENDED: usize = 500;

/// What a piece of work asks of the database.
#[derive(Debug)]
struct Cost {
    statements: u64,
    /// On SQLite the instructions of its virtual machine, a few dozen for each row. On PostgreSQL the rows of spans
    /// that were fetched.
    looked_at: u64,
}

/// An installation with a long history, in a database without a server.
struct History {
    connection: DatabaseConnection,
    workspace: WorkspaceId,
    installation: InstallationId,
    statements: Arc<AtomicU64>,
    instructions: Arc<AtomicU64>,
}

impl History {
    async fn new(scratch: &Scratch) -> Self {
        let url = scratch.settings().url;
        if let Some(folder) = url.file().as_deref().and_then(std::path::Path::parent) {
            std::fs::create_dir_all(folder).unwrap();
        }
        let mut connection = url.writer("test", &WorkGuard::new(Clock)).await.unwrap();
        Migrator::up(&connection, None).await.unwrap();
        let statements = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&statements);
        connection.set_metric_callback(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        let mut new = kit::new_installation("crm");
        new.subscriptions = (0..SUBSCRIPTIONS).map(subscription).collect();
        let history = Self {
            workspace: scratch.workspace(),
            installation: new.id,
            statements,
            instructions: Arc::default(),
            connection,
        };
        history.install(new).await;
        if history.is_sqlite() {
            history.count_instructions().await;
        }
        history
    }

    /// Installs, and then gives each subscription its history.
    async fn install(&self, new: NewInstallation) {
        let transaction = self.connection.begin().await.unwrap();
        installations::install_within(&transaction, self.workspace, new, Clock)
            .await
            .unwrap();
        let (id, uuid) = match self.is_sqlite() {
            true => ("randomblob(16)", "x'{}'"),
            false => ("gen_random_uuid()", "'{}'"),
        };
        let workspace = uuid.replace("{}", &self.workspace.uuid().simple().to_string());
        let head = 2 * ENDED + 1;
        for sql in [
            format!(
                "INSERT INTO ext_event_subscription (id, subscription_id, installation_id, workspace_id, event_key, \
                 from_seq, until_seq, closed_by, is_current, created_at) \
                 WITH RECURSIVE n (x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM n WHERE x < {ENDED} - 1) \
                 SELECT {id}, s.subscription_id, s.installation_id, s.workspace_id, s.event_key, 2 * x, 2 * x + 1, \
                 'DISABLED', FALSE, 0 FROM ext_event_subscription s CROSS JOIN n"
            ),
            format!("UPDATE ext_event_subscription SET from_seq = {head} - 1 WHERE is_current"),
            format!("UPDATE ext_delivery_cursor SET settled_seq = {head}"),
            format!(
                "INSERT INTO platform_event (workspace_id, seq, id, event_key, payload, occurred_at) \
                 VALUES ({workspace}, {head}, {id}, 'a.b', '{{}}', 0)"
            ),
        ] {
            transaction.execute_unprepared(&sql).await.unwrap();
        }
        transaction.commit().await.unwrap();
        self.connection.execute_unprepared("ANALYZE").await.unwrap();
    }

    fn is_sqlite(&self) -> bool {
        self.connection.get_database_backend() == DbBackend::Sqlite
    }

    async fn count_instructions(&self) {
        let mut pooled = self
            .connection
            .get_sqlite_connection_pool()
            .acquire()
            .await
            .unwrap();
        let mut handle = pooled.lock_handle().await.unwrap();
        let instructions = Arc::clone(&self.instructions);
        handle.set_progress_handler(1, move || {
            instructions.fetch_add(1, Ordering::Relaxed);
            true
        });
    }

    /// Makes the change and says what it cost.
    async fn change(&self, change: InstallationChange) -> (Cost, Vec<Span>) {
        self.measured(async |transaction| {
            let changed =
                installations::change(transaction, self.workspace, self.installation, change, Clock).await;
            changed.unwrap().spans
        })
        .await
    }

    async fn measured<T>(&self, work: impl AsyncFnOnce(&DatabaseTransaction) -> T) -> (Cost, T) {
        let transaction = self.connection.begin().await.unwrap();
        let looked_at = self.looked_at(&transaction).await;
        let statements = self.statements.load(Ordering::Relaxed);
        let done = work(&transaction).await;
        let statements = self.statements.load(Ordering::Relaxed) - statements;
        let looked_at = self.looked_at(&transaction).await - looked_at;
        transaction.commit().await.unwrap();
        let cost = Cost {
            statements,
            looked_at,
        };
        (cost, done)
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

    /// At most this many rows of spans, or as many instructions as they are worth.
    fn assert_cheap(&self, what: &str, cost: &Cost, statements: u64, rows: u64) {
        let bound = if self.is_sqlite() {
            2_000 + 150 * rows
        } else {
            rows
        };
        assert!(cost.looked_at <= bound, "{what}: {cost:?}, at most {bound}");
        assert!(
            cost.statements <= statements,
            "{what}: {cost:?}, at most {statements}"
        );
    }
}

pub(super) fn subscription(number: usize) -> (SubscriptionId, EventPattern) {
    let pattern = EventPattern::parse(&format!("a.b{number}")).unwrap();
    (SubscriptionId::new(Clock.new_uuid()), pattern)
}

fn enabled(enabled: bool) -> InstallationChange {
    InstallationChange::Update(InstallationUpdate {
        enabled: Some(enabled),
        ..InstallationUpdate::default()
    })
}

on_both_engines!(
    async fn a_change_costs_the_same_whatever_the_history(scratch: Scratch) {
        let history = History::new(&scratch).await;
        let current = SUBSCRIPTIONS as u64;

        // One of the statements marks the workspace as due.
        let name = InstallationUpdate {
            name: Some("CRM 2".to_owned()),
            ..InstallationUpdate::default()
        };
        let (cost, spans) = history.change(InstallationChange::Update(name)).await;
        assert_eq!(spans.len(), SUBSCRIPTIONS);
        history.assert_cheap("a name", &cost, 6, current);

        let (subscription_id, pattern) = subscription(SUBSCRIPTIONS);
        let subscribe = InstallationChange::Subscribe {
            subscription_id,
            pattern,
        };
        let (cost, spans) = history.change(subscribe).await;
        assert_eq!(spans.len(), SUBSCRIPTIONS + 1);
        history.assert_cheap("a subscription", &cost, 8, current + 2);

        let (cost, spans) = history
            .change(InstallationChange::Unsubscribe { subscription_id })
            .await;
        assert_eq!(spans.len(), SUBSCRIPTIONS);
        history.assert_cheap("its end", &cost, 8, current + 4);

        // Three statements write 200 rows: 128, 64 and 8.
        let (cost, spans) = history.change(enabled(false)).await;
        assert_eq!(spans.len(), 0, "the cursor has passed them all");
        history.assert_cheap("disabling", &cost, 10, 3 * current);
        let (cost, spans) = history.change(enabled(true)).await;
        assert_eq!(spans.len(), SUBSCRIPTIONS);
        history.assert_cheap("enabling", &cost, 10, 4 * current);

        let rows = "SELECT COUNT(*) AS it FROM ext_event_subscription";
        let backend = history.connection.get_database_backend();
        let row = history
            .connection
            .query_one_raw(Statement::from_string(backend, rows));
        let count: i64 = row.await.unwrap().unwrap().try_get("", "it").unwrap();
        assert_eq!(count, i64::try_from(SUBSCRIPTIONS * (ENDED + 1) + 1).unwrap());
        history.connection.close().await.unwrap();
    }
);

on_both_engines!(
    async fn enabling_after_an_event_goes_on_with_a_span_each(scratch: Scratch) {
        let history = History::new(&scratch).await;
        let current = SUBSCRIPTIONS as u64;
        history.change(enabled(false)).await;
        // The log is one event longer.
        history
            .connection
            .execute_unprepared("UPDATE platform_event SET seq = seq + 1")
            .await
            .unwrap();
        let (cost, spans) = history.change(enabled(true)).await;
        assert_eq!(spans.len(), SUBSCRIPTIONS);
        history.assert_cheap("enabling", &cost, 13, 5 * current);
        let (cost, _) = history.change(InstallationChange::Uninstall).await;
        history.assert_cheap("uninstalling", &cost, 10, 4 * current);
        history.connection.close().await.unwrap();
    }
);

on_both_engines!(
    async fn a_view_looks_only_at_spans_that_can_still_matter(scratch: Scratch) {
        let history = History::new(&scratch).await;
        let current = SUBSCRIPTIONS as u64;
        let (cost, views) = history
            .measured(async |transaction| {
                installations::views(transaction, history.workspace)
                    .await
                    .unwrap()
            })
            .await;
        assert_eq!((views.len(), views[0].spans.len()), (1, SUBSCRIPTIONS));
        history.assert_cheap("a view", &cost, 3, current);

        // Behind by the last disabling: that span matters, too.
        let behind = "UPDATE ext_delivery_cursor SET settled_seq = 998";
        history.connection.execute_unprepared(behind).await.unwrap();
        let (cost, views) = history
            .measured(async |transaction| {
                installations::views(transaction, history.workspace)
                    .await
                    .unwrap()
            })
            .await;
        assert_eq!(views[0].spans.len(), 2 * SUBSCRIPTIONS);
        history.assert_cheap("a view of one behind", &cost, 3, 2 * current);
        history.connection.close().await.unwrap();
    }
);

on_both_engines!(
    async fn views_of_many_installations_are_few_queries(scratch: Scratch) {
        let history = History::new(&scratch).await;
        for number in 0..50 {
            let transaction = history.connection.begin().await.unwrap();
            let mut new = kit::new_installation(&format!("crm{number}"));
            new.subscriptions = vec![subscription(number)];
            installations::install_within(&transaction, history.workspace, new, Clock)
                .await
                .unwrap();
            transaction.commit().await.unwrap();
        }
        let (cost, views) = history
            .measured(async |transaction| {
                installations::views(transaction, history.workspace)
                    .await
                    .unwrap()
            })
            .await;
        assert_eq!(views.len(), 51);
        assert!(
            views
                .iter()
                .all(|view| !view.spans.is_empty() && !view.has_retries)
        );
        history.assert_cheap("51 views", &cost, 9, SUBSCRIPTIONS as u64 + 50);
        history.connection.close().await.unwrap();
    }
);

on_both_engines!(
    async fn the_waker_does_not_walk_the_history(scratch: Scratch) {
        let history = History::new(&scratch).await;
        let (cost, found) = history
            .measured(async |transaction| {
                due::next_work(transaction, &[history.workspace], Duration::from_secs(1))
                    .await
                    .unwrap()
            })
            .await;
        assert!(found.is_empty());
        history.assert_cheap("a look for work", &cost, 1, 2);
        history.connection.close().await.unwrap();
    }
);

on_both_engines!(
    async fn spans_are_found_by_their_indexes(scratch: Scratch) {
        let journal = scratch.open().await;
        let backend = journal.reader().get_database_backend();
        let view = journal
            .install(scratch.workspace(), kit::new_installation("crm"))
            .await
            .unwrap();
        let installation: Installation = view.installation;
        let pattern = EventPattern::parse("a.b").unwrap();
        let subscription = SubscriptionId::new(Clock.new_uuid());
        let needed = |needed| spans::needed_sql(&installation, needed, backend).unwrap();
        let cursors = [(installation.id, Seq::new(1)), (view_id(), Seq::new(1))];
        let statements = [
            (needed(SpansNeeded::Current), "ext_event_subscription_current"),
            (
                needed(SpansNeeded::OfPattern(&pattern)),
                "ext_event_subscription_current",
            ),
            (
                needed(SpansNeeded::OfSubscription(subscription)),
                "ext_event_subscription_place",
            ),
            (
                spans::beyond_sql(&cursors, backend).remove(0),
                "ext_event_subscription_installation",
            ),
            (
                never_subscribed(&pattern, backend),
                "ext_event_subscription_current",
            ),
        ];
        for (statement, index) in statements {
            let values = statement.values.map(|values| values.0).unwrap_or_default();
            let plan = plans::plan(&journal, &statement.sql, values).await;
            plans::assert_seeks(&plan, &[index]);
            assert!(!plan.contains("Bitmap"), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
        journal.stop().await;
    }
);

fn view_id() -> InstallationId {
    InstallationId::new(Clock.new_uuid())
}

fn never_subscribed(pattern: &EventPattern, backend: DbBackend) -> Statement {
    use sea_orm::QueryTrait as _;
    crate::in_process::unsubscribed("crm", pattern).build(backend)
}
