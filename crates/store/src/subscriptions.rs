//! Reads of subscriptions and their spans. They are changed through the router.

use std::collections::BTreeMap;

use entity::ext_event_subscription::{Column, Entity, Model};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, QueryOrder, Select, Statement,
    Value,
};

use pointsman_domain::{
    event_pattern::EventPattern,
    id::{InstallationId, SubscriptionId, WorkspaceId},
    seq::Seq,
    span::{Span, SpanCloseReason},
    timestamp::Timestamp,
};

/// A subscription that was not ended. While its installation is disabled it has no open span, but it is
/// still a subscription: enabling opens a new span for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub id: SubscriptionId,
    pub pattern: EventPattern,
    pub created_at: Timestamp,
}

/// The subscriptions of an installation, newest first. Reads one span of each.
///
/// # Errors
/// When the database fails.
pub async fn list(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    installation: InstallationId,
) -> Result<Vec<Subscription>, DbErr> {
    let rows = current(workspace, installation)
        .order_by_desc(Column::SubscriptionId)
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(subscription).collect())
}

/// The subscription of the installation to this very pattern. Reads no other.
///
/// # Errors
/// When the database fails.
pub async fn find_by_pattern(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    installation: InstallationId,
    pattern: &EventPattern,
) -> Result<Option<Subscription>, DbErr> {
    let row = current(workspace, installation)
        .filter(Column::EventKey.eq(pattern.as_str()))
        .one(conn)
        .await?;
    Ok(row.map(subscription))
}

/// The current spans of the installation, by their index.
fn current(workspace: WorkspaceId, installation: InstallationId) -> Select<Entity> {
    Entity::find()
        .filter(Column::InstallationId.eq(installation.uuid()))
        .filter(Column::IsCurrent.eq(true))
        .filter(Column::WorkspaceId.eq(workspace.uuid()))
}

fn subscription(row: Model) -> Subscription {
    Subscription {
        id: SubscriptionId::new(row.subscription_id),
        pattern: EventPattern::from_stored(row.event_key),
        created_at: Timestamp::from_millis(row.created_at),
    }
}

/// Of each subscription that the workspace has ever had, the span that decides whether an event at this position is due
/// and why not: the latest that begins before it. By installation.
///
/// # Errors
/// When the database fails.
pub async fn deciding_spans(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    seq: Seq,
) -> Result<BTreeMap<InstallationId, Vec<Span>>, DbErr> {
    let statement = deciding_sql(workspace, seq, conn.get_database_backend());
    let rows = Entity::find().from_raw_sql(statement).all(conn).await?;
    let mut spans: BTreeMap<InstallationId, Vec<Span>> = BTreeMap::new();
    for row in rows {
        let installation = InstallationId::new(row.installation_id);
        spans.entry(installation).or_default().push(span(row));
    }
    Ok(spans)
}

/// Steps from each subscription of the index to the next one, and takes the span from there. Spans of a subscription do
/// not overlap, so that no earlier one covers the position.
fn deciding_sql(workspace: WorkspaceId, seq: Seq, backend: DbBackend) -> Statement {
    let sql = "WITH RECURSIVE subscribed (id) AS (
             SELECT * FROM (SELECT f.subscription_id FROM ext_event_subscription f WHERE f.workspace_id = $1
                 ORDER BY f.subscription_id LIMIT 1) AS first_one
             UNION ALL
             SELECT (SELECT n.subscription_id FROM ext_event_subscription n WHERE n.workspace_id = $1
                 AND n.subscription_id > subscribed.id ORDER BY n.subscription_id LIMIT 1)
             FROM subscribed WHERE subscribed.id IS NOT NULL
         )
         SELECT s.id, s.subscription_id, s.installation_id, s.workspace_id, s.event_key, s.from_seq, s.until_seq,
             s.closed_by, s.is_current, s.created_at
         FROM subscribed CROSS JOIN ext_event_subscription s
         WHERE s.id = (SELECT d.id FROM ext_event_subscription d WHERE d.workspace_id = $1
             AND d.subscription_id = subscribed.id AND d.from_seq < $2
             ORDER BY d.from_seq DESC, d.id DESC LIMIT 1)";
    Statement::from_sql_and_values(backend, sql, [workspace.uuid().into(), seq.get().into()])
}

/// The spans of the installation that are open or end after this position, by where they begin.
///
/// # Errors
/// When the database fails.
pub async fn spans_beyond(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    installation: InstallationId,
    settled: Seq,
) -> Result<Vec<Span>, DbErr> {
    let statement = beyond_sql(workspace, installation, settled, conn.get_database_backend());
    let mut rows = Entity::find().from_raw_sql(statement).all(conn).await?;
    rows.sort_by_key(|row| (row.from_seq, row.id));
    Ok(rows.into_iter().map(span).collect())
}

/// The open ones and those that end later are two stretches of an index; for a condition with OR engines would read all
/// spans of the installation. One statement, because a span may be closed or opened again between two.
fn beyond_sql(
    workspace: WorkspaceId,
    installation: InstallationId,
    settled: Seq,
    backend: DbBackend,
) -> Statement {
    let select = "SELECT id, subscription_id, installation_id, workspace_id, event_key, from_seq, until_seq, \
                  closed_by, is_current, created_at FROM ext_event_subscription \
                  WHERE installation_id = $1 AND workspace_id = $2";
    let sql = format!("{select} AND until_seq IS NULL UNION ALL {select} AND until_seq > $3");
    let values: [Value; 3] = [
        installation.uuid().into(),
        workspace.uuid().into(),
        settled.get().into(),
    ];
    Statement::from_sql_and_values(backend, sql, values)
}

fn span(row: Model) -> Span {
    Span {
        subscription_id: SubscriptionId::new(row.subscription_id),
        closed_by: close_reason(&row),
        pattern: EventPattern::from_stored(row.event_key),
        from_seq: Seq::new(row.from_seq),
        until_seq: row.until_seq.map(Seq::new),
    }
}

fn close_reason(row: &Model) -> Option<SpanCloseReason> {
    row.closed_by.as_deref().and_then(SpanCloseReason::parse)
}

#[cfg(test)]
mod tests;
