//! Changes of installations and subscriptions. Each is executed between two batches, so that no event is written while
//! the position at which a span opens or closes is read.

use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QuerySelect,
    sea_query::{Expr, ExprTrait},
};

use entity::{ext_delivery_cursor, ext_delivery_retry, ext_event_subscription, ext_installation};

use super::{apply::apply, reads};
use pointsman_clock::Clock;
use pointsman_domain::{
    attempt::DeliveryKind,
    event_pattern::EventPattern,
    id::{InstallationId, SubscriptionId, WorkspaceId},
    installation::{Installation, InstallationChange, InstallationView, NewInstallation},
    seq::Seq,
    span::{Span, SpanCloseReason},
};
use pointsman_journal::{
    ChangeError,
    admin::installation::{self, ChangePoint},
    changes::StoredSpan,
};

/// Installs within the caller's transaction. No notice is sent.
///
/// # Errors
/// [`ChangeError::Conflict`] when an extension with this key is installed already; [`ChangeError::Database`] when the
/// database fails.
pub async fn install_within(
    transaction: &DatabaseTransaction,
    workspace: WorkspaceId,
    new: NewInstallation,
    clock: Clock,
) -> Result<(), ChangeError> {
    install(transaction, workspace, new, clock).await.map(drop)
}

pub(super) async fn install(
    transaction: &DatabaseTransaction,
    workspace: WorkspaceId,
    new: NewInstallation,
    clock: Clock,
) -> Result<InstallationView, ChangeError> {
    let taken = ext_installation::Entity::find()
        .filter(ext_installation::Column::WorkspaceId.eq(workspace.uuid()))
        .filter(ext_installation::Column::Key.eq(&new.key))
        .filter(ext_installation::Column::UninstalledAt.is_null())
        .one(transaction)
        .await?;
    if taken.is_some() {
        return Err(ChangeError::Conflict(format!(
            "an extension with the key {} is installed in this workspace already",
            new.key
        )));
    }
    let at = change_point(transaction, workspace, clock).await?;
    let changes = installation::install(workspace, new, at, &mut || clock.new_uuid())?;
    apply(transaction, &changes.changes()).await?;
    view(transaction, changes.installation).await
}

pub(super) async fn change(
    transaction: &DatabaseTransaction,
    workspace: WorkspaceId,
    id: InstallationId,
    change: InstallationChange,
    clock: Clock,
) -> Result<InstallationView, ChangeError> {
    let row = ext_installation::Entity::find_by_id(id.uuid())
        .filter(ext_installation::Column::WorkspaceId.eq(workspace.uuid()))
        .filter(ext_installation::Column::UninstalledAt.is_null())
        .one(transaction)
        .await?
        .ok_or(ChangeError::NotFound("extension"))?;
    let spans = ext_event_subscription::Entity::find()
        .filter(ext_event_subscription::Column::InstallationId.eq(id.uuid()))
        .all(transaction)
        .await?;
    let spans: Vec<StoredSpan> = spans.into_iter().map(stored_span).collect();
    let at = change_point(transaction, workspace, clock).await?;
    let changes = installation::change(row.into(), &spans, change, at, &mut || clock.new_uuid())?;
    apply(transaction, &changes.changes()).await?;
    view(transaction, changes.installation).await
}

/// The current time, and the end of the workspace's log.
async fn change_point(
    transaction: &DatabaseTransaction,
    workspace: WorkspaceId,
    clock: Clock,
) -> Result<ChangePoint, DbErr> {
    Ok(ChangePoint {
        head: reads::head(transaction, workspace).await?,
        now: clock.now(),
    })
}

fn stored_span(row: ext_event_subscription::Model) -> StoredSpan {
    StoredSpan {
        id: row.id,
        span: span_of(row),
    }
}

/// The installation with its spans, cursor and retries, as caches keep it.
pub(super) async fn view<C: ConnectionTrait>(
    connection: &C,
    installation: Installation,
) -> Result<InstallationView, ChangeError> {
    let cursor = ext_delivery_cursor::Entity::find_by_id(installation.id.uuid())
        .one(connection)
        .await?;
    let settled = cursor.map_or(installation.installed_seq, |cursor| Seq::new(cursor.settled_seq));
    let spans = ext_event_subscription::Entity::find()
        .filter(ext_event_subscription::Column::InstallationId.eq(installation.id.uuid()))
        .filter(
            ext_event_subscription::Column::UntilSeq
                .is_null()
                .or(ext_event_subscription::Column::UntilSeq.gt(settled.get())),
        )
        .all(connection)
        .await?;
    let spans = spans.into_iter().map(span_of).collect();
    let retry = ext_delivery_retry::Entity::find()
        .filter(ext_delivery_retry::Column::InstallationId.eq(installation.id.uuid()))
        .filter(
            ext_delivery_retry::Column::Kind
                .is_in([DeliveryKind::Live, DeliveryKind::Replay].map(DeliveryKind::as_str)),
        )
        .limit(1)
        .one(connection)
        .await?;
    Ok(InstallationView {
        installation,
        spans,
        settled,
        has_retries: retry.is_some(),
    })
}

fn span_of(row: ext_event_subscription::Model) -> Span {
    Span {
        subscription_id: SubscriptionId::new(row.subscription_id),
        pattern: EventPattern::from_stored(row.event_key),
        from_seq: Seq::new(row.from_seq),
        until_seq: row.until_seq.map(Seq::new),
        closed_by: row.closed_by.as_deref().and_then(SpanCloseReason::parse),
    }
}

/// Every installation of the workspace that is not closed.
pub(super) async fn views<C: ConnectionTrait>(
    connection: &C,
    workspace: WorkspaceId,
) -> Result<Vec<InstallationView>, ChangeError> {
    let installations = ext_installation::Entity::find()
        .filter(ext_installation::Column::WorkspaceId.eq(workspace.uuid()))
        // In the same words as the partial index, so that it is used.
        .filter(Expr::cust("NOT closed"))
        .all(connection)
        .await?;
    let mut views = Vec::with_capacity(installations.len());
    for installation in installations {
        views.push(view(connection, installation.into()).await?);
    }
    Ok(views)
}
