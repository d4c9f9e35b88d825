//! A database in memory for the tests of the store, and rows to put into it.

use entity::{
    dead_letter_event, ext_delivery_attempt, ext_delivery_cursor, ext_delivery_retry, ext_event_subscription,
    ext_installation, platform_event,
};
use migration::MigratorTrait as _;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectOptions, ConnectionTrait as _, Database,
    DatabaseConnection, DbBackend, EntityTrait as _, QueryFilter as _, Set, Statement, Value,
    sea_query::Expr,
};

use pointsman_clock::Clock;
use pointsman_domain::id::{DeadLetterId, EventId, InstallationId, SubscriptionId, WorkspaceId};

/// Where a span ends, and why.
type End = Option<(i64, &'static str)>;

pub(crate) struct Fixture {
    pub(crate) conn: DatabaseConnection,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let mut options = ConnectOptions::new("sqlite::memory:");
        // A database in memory lives as long as its one connection.
        options.max_connections(1).sqlx_logging(false);
        let conn = Database::connect(options).await.unwrap();
        migration::Migrator::up(&conn, None).await.unwrap();
        Self { conn }
    }

    pub(crate) fn workspace(&self) -> WorkspaceId {
        WorkspaceId::new(Clock.new_uuid())
    }

    pub(crate) async fn install(&self, workspace: WorkspaceId, key: &str) -> InstallationId {
        self.install_at(workspace, key, 0).await
    }

    pub(crate) async fn install_at(&self, workspace: WorkspaceId, key: &str, seq: i64) -> InstallationId {
        let row = ext_installation::Model {
            id: Clock.new_uuid(),
            workspace_id: workspace.uuid(),
            key: key.into(),
            name: key.to_uppercase(),
            delivery_type: "EXTERNAL_SERVICE".into(),
            service_base_url: Some("http://localhost:9000".into()),
            signing_secret: "sealed".into(),
            previous_secret: None,
            previous_secret_until: None,
            headers: "sealed".into(),
            enabled: true,
            paused: false,
            concurrency: None,
            ordered: false,
            rate_limit: None,
            held_since: None,
            revision: 1,
            installed_at: 0,
            installed_seq: seq,
            uninstalled_at: None,
            uninstalled_seq: None,
            closed: false,
            available: true,
        };
        let id = InstallationId::new(row.id);
        let row = ext_installation::ActiveModel::from(row).reset_all();
        ext_installation::Entity::insert(row)
            .exec_without_returning(&self.conn)
            .await
            .unwrap();
        id
    }

    pub(crate) async fn uninstall(&self, installation: InstallationId, seq: i64) {
        let row = ext_installation::ActiveModel {
            id: Set(installation.uuid()),
            uninstalled_at: Set(Some(1)),
            uninstalled_seq: Set(Some(seq)),
            ..Default::default()
        };
        row.update(&self.conn).await.unwrap();
    }

    pub(crate) async fn span(
        &self,
        workspace: WorkspaceId,
        installation: InstallationId,
        pattern: &str,
        from: i64,
        end: End,
    ) -> SubscriptionId {
        let id = SubscriptionId::new(Clock.new_uuid());
        self.another_span(workspace, installation, id, pattern, from, end)
            .await;
        id
    }

    pub(crate) async fn another_span(
        &self,
        workspace: WorkspaceId,
        installation: InstallationId,
        subscription: SubscriptionId,
        pattern: &str,
        from: i64,
        end: End,
    ) {
        let row = ext_event_subscription::Model {
            id: Clock.new_uuid(),
            subscription_id: subscription.uuid(),
            installation_id: installation.uuid(),
            workspace_id: workspace.uuid(),
            event_key: pattern.into(),
            from_seq: from,
            until_seq: end.map(|(until, _)| until),
            closed_by: end.map(|(_, reason)| reason.into()),
            is_current: end.is_none_or(|(_, reason)| reason == "DISABLED"),
            created_at: from,
        };
        // It succeeds the one before.
        let before = ext_event_subscription::Entity::update_many()
            .col_expr(ext_event_subscription::Column::IsCurrent, Expr::value(false))
            .filter(ext_event_subscription::Column::SubscriptionId.eq(subscription.uuid()));
        before.exec(&self.conn).await.unwrap();
        let row = ext_event_subscription::ActiveModel::from(row).reset_all();
        ext_event_subscription::Entity::insert(row)
            .exec_without_returning(&self.conn)
            .await
            .unwrap();
    }

    /// Accepted at `seq` seconds, by the actor `actor-{seq}`.
    pub(crate) async fn event(&self, workspace: WorkspaceId, seq: i64, key: &str) -> EventId {
        let row = platform_event::Model {
            workspace_id: workspace.uuid(),
            seq,
            id: Clock.new_uuid(),
            event_key: key.into(),
            schema_version: None,
            actor: Some(format!("actor-{seq}")),
            payload: "{}".into(),
            occurred_at: seq * 1000,
            traceparent: None,
            causation_id: None,
            correlation_id: None,
            causation_depth: 0,
        };
        let id = EventId::new(row.id);
        let row = platform_event::ActiveModel::from(row).reset_all();
        platform_event::Entity::insert(row)
            .exec_without_returning(&self.conn)
            .await
            .unwrap();
        id
    }

    /// Many events at once, as [`Self::event`] makes each.
    pub(crate) async fn events(&self, workspace: WorkspaceId, through: i64, key: &str) {
        let sql = "INSERT INTO platform_event (workspace_id, seq, id, event_key, actor, payload, occurred_at, \
                   causation_depth) WITH RECURSIVE n (seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM n WHERE seq < ?) \
                   SELECT ?, seq, randomblob(16), ?, 'actor-' || seq, '{}', seq * 1000, 0 FROM n";
        let values = [through.into(), workspace.uuid().into(), key.into()];
        self.execute(sql, values).await;
    }

    pub(crate) async fn rename_event(&self, workspace: WorkspaceId, seq: i64, key: &str) {
        self.change_event(workspace, seq, "event_key = ?", [key.into()])
            .await;
    }

    pub(crate) async fn change_payload(&self, workspace: WorkspaceId, seq: i64, payload: &str) {
        self.change_event(workspace, seq, "payload = ?", [payload.into()])
            .await;
    }

    /// To another time.
    pub(crate) async fn move_event(&self, workspace: WorkspaceId, seq: i64, millis: i64) {
        self.change_event(workspace, seq, "occurred_at = ?", [millis.into()])
            .await;
    }

    /// Published by a handler of `cause`, in the chain that `first` began.
    pub(crate) async fn cause(&self, workspace: WorkspaceId, seq: i64, cause: EventId, first: EventId) {
        let values = [cause.uuid().into(), first.uuid().into()];
        self.change_event(workspace, seq, "causation_id = ?, correlation_id = ?", values)
            .await;
    }

    async fn change_event<const N: usize>(
        &self,
        workspace: WorkspaceId,
        seq: i64,
        change: &str,
        values: [Value; N],
    ) {
        let sql = format!("UPDATE platform_event SET {change} WHERE workspace_id = ? AND seq = ?");
        let key = [workspace.uuid().into(), seq.into()];
        self.execute(&sql, values.into_iter().chain(key)).await;
    }

    /// Takes the events through this position away.
    pub(crate) async fn prune(&self, workspace: WorkspaceId, through: i64) {
        let sql = "DELETE FROM platform_event WHERE workspace_id = ? AND seq <= ?";
        self.execute(sql, [workspace.uuid().into(), through.into()]).await;
    }

    async fn execute(&self, sql: &str, values: impl IntoIterator<Item = Value>) {
        let statement = Statement::from_sql_and_values(DbBackend::Sqlite, sql, values);
        self.conn.execute_raw(statement).await.unwrap();
    }

    pub(crate) async fn cursor(&self, workspace: WorkspaceId, installation: InstallationId, settled: i64) {
        let row = ext_delivery_cursor::Model {
            installation_id: installation.uuid(),
            workspace_id: workspace.uuid(),
            settled_seq: settled,
            generation: 1,
            last_success_at: None,
            last_failure_at: None,
        };
        let row = ext_delivery_cursor::ActiveModel::from(row).reset_all();
        ext_delivery_cursor::Entity::insert(row)
            .exec_without_returning(&self.conn)
            .await
            .unwrap();
    }

    pub(crate) async fn make_in_process(&self, installation: InstallationId) {
        let row = ext_installation::ActiveModel {
            id: Set(installation.uuid()),
            delivery_type: Set("IN_PROCESS".to_owned()),
            ..Default::default()
        };
        row.update(&self.conn).await.unwrap();
    }

    pub(crate) async fn retry(
        &self,
        workspace: WorkspaceId,
        installation: InstallationId,
        event: EventId,
        seq: i64,
        attempts: i32,
    ) {
        self.retry_by("", workspace, installation, event, seq, attempts)
            .await;
    }

    pub(crate) async fn retry_by(
        &self,
        handler: &str,
        workspace: WorkspaceId,
        installation: InstallationId,
        event: EventId,
        seq: i64,
        attempts: i32,
    ) {
        let row = ext_delivery_retry::Model {
            installation_id: installation.uuid(),
            kind: "LIVE".into(),
            event_id: event.uuid(),
            handler: handler.into(),
            workspace_id: workspace.uuid(),
            seq,
            attempts,
            next_attempt_at: 99_000,
            last_status: None,
            last_error: None,
            dead_letter_id: None,
        };
        let row = ext_delivery_retry::ActiveModel::from(row).reset_all();
        ext_delivery_retry::Entity::insert(row)
            .exec_without_returning(&self.conn)
            .await
            .unwrap();
    }

    /// Made at `number` seconds.
    pub(crate) async fn attempt(
        &self,
        workspace: WorkspaceId,
        installation: InstallationId,
        event: EventId,
        number: i32,
        outcome: &str,
    ) {
        let row = ext_delivery_attempt::Model {
            id: Clock.new_uuid(),
            workspace_id: workspace.uuid(),
            installation_id: installation.uuid(),
            event_id: event.uuid(),
            handler: String::new(),
            kind: "LIVE".into(),
            number,
            outcome: outcome.into(),
            http_status: None,
            duration_ms: 5,
            error: None,
            response: None,
            attempted_at: i64::from(number) * 1000,
        };
        let row = ext_delivery_attempt::ActiveModel::from(row).reset_all();
        ext_delivery_attempt::Entity::insert(row)
            .exec_without_returning(&self.conn)
            .await
            .unwrap();
    }

    /// A letter whose event is no longer in the log.
    pub(crate) async fn letter(
        &self,
        workspace: WorkspaceId,
        installation: InstallationId,
        seq: i64,
        status: &str,
        failed_at: i64,
    ) -> DeadLetterId {
        let event = EventId::new(Clock.new_uuid());
        self.letter_of(workspace, installation, event, seq, status, failed_at)
            .await
    }

    /// Many letters at once, dead, one each second.
    pub(crate) async fn letters(&self, workspace: WorkspaceId, installation: InstallationId, through: i64) {
        let sql = "INSERT INTO dead_letter_event (id, workspace_id, installation_id, extension_key, event_id, seq, \
                   event_key, payload, occurred_at, causation_depth, reason, attempts, failed_at, status) \
                   WITH RECURSIVE n (seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM n WHERE seq < ?) \
                   SELECT randomblob(16), ?, ?, 'crm', randomblob(16), seq, 'a.b', '{}', seq, 0, 'GONE', 1, \
                   seq * 1000, 'DEAD' FROM n";
        let values = [
            through.into(),
            workspace.uuid().into(),
            installation.uuid().into(),
        ];
        self.execute(sql, values).await;
    }

    pub(crate) async fn letter_of(
        &self,
        workspace: WorkspaceId,
        installation: InstallationId,
        event: EventId,
        seq: i64,
        status: &str,
        failed_at: i64,
    ) -> DeadLetterId {
        self.letter_by("", workspace, installation, event, seq, status, failed_at)
            .await
    }

    #[expect(clippy::too_many_arguments, reason = "a row has more columns than that")]
    pub(crate) async fn letter_by(
        &self,
        handler: &str,
        workspace: WorkspaceId,
        installation: InstallationId,
        event: EventId,
        seq: i64,
        status: &str,
        failed_at: i64,
    ) -> DeadLetterId {
        let row = dead_letter_event::Model {
            id: Clock.new_uuid(),
            workspace_id: workspace.uuid(),
            installation_id: installation.uuid(),
            extension_key: "crm".into(),
            event_id: event.uuid(),
            handler: handler.into(),
            seq,
            event_key: "a.b".into(),
            schema_version: None,
            actor: None,
            payload: "{}".into(),
            occurred_at: seq * 1000,
            traceparent: None,
            causation_id: None,
            correlation_id: None,
            causation_depth: 0,
            reason: "RETRIES_EXHAUSTED".into(),
            attempts: 8,
            last_status: Some(500),
            last_error: None,
            failed_at,
            status: status.into(),
            replayed_at: None,
        };
        let id = DeadLetterId::new(row.id);
        let row = dead_letter_event::ActiveModel::from(row).reset_all();
        dead_letter_event::Entity::insert(row)
            .exec_without_returning(&self.conn)
            .await
            .unwrap();
        id
    }
}
