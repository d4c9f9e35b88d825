//! Reads of subscriptions and their spans. They are changed through the router.

use std::collections::BTreeMap;

use entity::ext_event_subscription::{Column, Entity, Model};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder};

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

/// The subscriptions of an installation, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    installation: InstallationId,
) -> Result<Vec<Subscription>, DbErr> {
    let rows = Entity::find()
        .filter(Column::WorkspaceId.eq(workspace.uuid()))
        .filter(Column::InstallationId.eq(installation.uuid()))
        .all(conn)
        .await?;
    Ok(current(rows))
}

/// A subscription has one span for each time it was enabled. A span closed by anything but disabling ends
/// it for good, whatever its other spans say.
fn current(rows: Vec<Model>) -> Vec<Subscription> {
    let mut by_id: BTreeMap<SubscriptionId, Option<Subscription>> = BTreeMap::new();
    for row in rows {
        let id = SubscriptionId::new(row.subscription_id);
        let ended = close_reason(&row).is_some_and(|reason| reason != SpanCloseReason::Disabled);
        let created_at = Timestamp::from_millis(row.created_at);
        let slot = by_id.entry(id).or_insert_with(|| {
            Some(Subscription {
                id,
                pattern: EventPattern::from_stored(row.event_key),
                created_at,
            })
        });
        if ended {
            *slot = None;
        } else if let Some(subscription) = slot {
            subscription.created_at = subscription.created_at.min(created_at);
        }
    }
    by_id.into_values().rev().flatten().collect()
}

/// All spans of the workspace, open and closed, by installation.
///
/// # Errors
/// When the database fails.
pub async fn spans_of_workspace(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
) -> Result<BTreeMap<InstallationId, Vec<Span>>, DbErr> {
    let rows = Entity::find()
        .filter(Column::WorkspaceId.eq(workspace.uuid()))
        .order_by_asc(Column::FromSeq)
        .all(conn)
        .await?;
    let mut spans: BTreeMap<InstallationId, Vec<Span>> = BTreeMap::new();
    for row in rows {
        spans
            .entry(InstallationId::new(row.installation_id))
            .or_default()
            .push(span(row));
    }
    Ok(spans)
}

/// The spans of one installation, open and closed, by where they begin.
///
/// # Errors
/// When the database fails.
pub async fn spans_of_installation(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    installation: InstallationId,
) -> Result<Vec<Span>, DbErr> {
    let rows = Entity::find()
        .filter(Column::WorkspaceId.eq(workspace.uuid()))
        .filter(Column::InstallationId.eq(installation.uuid()))
        .order_by_asc(Column::FromSeq)
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(span).collect())
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
mod tests {
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
        assert!(spans_of_workspace(&db.conn, theirs).await.unwrap().is_empty());
        assert_eq!(spans_of_installation(&db.conn, ours, crm).await.unwrap().len(), 1);
        assert!(
            spans_of_installation(&db.conn, theirs, crm)
                .await
                .unwrap()
                .is_empty()
        );
    }
}
