//! Changes of installations and subscriptions. Each runs between two batches, so that the places at which
//! spans open and close never race with events.

use std::time::Duration;

use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, IntoActiveModel,
    QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait, Func},
};

use entity::{ext_delivery_cursor, ext_delivery_retry, ext_event_subscription, ext_installation};

use super::reads;
use pointsman_clock::Clock;
use pointsman_domain::{
    attempt::DeliveryKind,
    event_pattern::EventPattern,
    id::{InstallationId, SubscriptionId, WorkspaceId},
    installation::{
        Installation, InstallationChange, InstallationUpdate, InstallationView, NewInstallation,
        PreviousSecret,
    },
    seq::Seq,
    span::{Span, SpanCloseReason},
};
use pointsman_journal::ChangeError;

/// How long a rotated secret goes on signing beside the new one.
const PREVIOUS_SECRET: Duration = Duration::from_secs(24 * 60 * 60);

/// Installs within the caller's transaction. No notice is sent.
///
/// # Errors
/// [`ChangeError::Conflict`] where the key is installed already.
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
    let now = clock.now();
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
    let head = reads::head(transaction, workspace).await?;
    let installation = Installation {
        id: new.id,
        workspace_id: workspace,
        key: new.key,
        name: new.name,
        delivery_type: new.delivery_type,
        service_base_url: new.service_base_url,
        signing_secret: new.signing_secret,
        previous_secret: None,
        headers: new.headers,
        enabled: new.enabled,
        paused: false,
        concurrency: None,
        ordered: false,
        rate_limit: None,
        available: true,
        held_since: (!new.enabled).then_some(now),
        revision: 1,
        installed_at: now,
        installed_seq: head,
        uninstalled_at: None,
        uninstalled_seq: None,
        closed: false,
    };
    ext_installation::Entity::insert(ext_installation::Model::from(installation.clone()).into_active_model())
        .exec_without_returning(transaction)
        .await?;
    let cursor = ext_delivery_cursor::Model {
        installation_id: new.id.uuid(),
        workspace_id: workspace.uuid(),
        settled_seq: head.get(),
        generation: 0,
        last_success_at: None,
        last_failure_at: None,
    };
    ext_delivery_cursor::Entity::insert(cursor.into_active_model())
        .exec_without_returning(transaction)
        .await?;
    let spans = Spans {
        transaction,
        workspace,
        installation: new.id,
        head,
        clock,
    };
    for (subscription, pattern) in &new.subscriptions {
        spans
            .subscribe(*subscription, pattern, installation.enabled)
            .await?;
    }
    view(transaction, installation).await
}

pub(super) async fn change(
    transaction: &DatabaseTransaction,
    workspace: WorkspaceId,
    id: InstallationId,
    change: InstallationChange,
    clock: Clock,
) -> Result<InstallationView, ChangeError> {
    let mut installation: Installation = ext_installation::Entity::find_by_id(id.uuid())
        .filter(ext_installation::Column::WorkspaceId.eq(workspace.uuid()))
        .filter(ext_installation::Column::UninstalledAt.is_null())
        .one(transaction)
        .await?
        .ok_or(ChangeError::NotFound("extension"))?
        .into();
    let head = reads::head(transaction, workspace).await?;
    let now = clock.now();
    let spans = Spans {
        transaction,
        workspace,
        installation: id,
        head,
        clock,
    };
    match change {
        InstallationChange::Update(update) => update_installation(&spans, &mut installation, update).await?,
        InstallationChange::RotateSecret { sealed } => {
            installation.previous_secret = Some(PreviousSecret {
                sealed: std::mem::replace(&mut installation.signing_secret, sealed),
                until: now + PREVIOUS_SECRET,
            });
        }
        InstallationChange::Subscribe {
            subscription_id,
            pattern,
        } => {
            spans
                .subscribe(subscription_id, &pattern, installation.enabled)
                .await?;
        }
        InstallationChange::Unsubscribe { subscription_id } => spans.unsubscribe(subscription_id).await?,
        InstallationChange::Uninstall => {
            spans.close_open(SpanCloseReason::Uninstalled).await?;
            installation.uninstalled_at = Some(now);
            installation.uninstalled_seq = Some(head);
        }
    }
    installation.revision += 1;
    ext_installation::Model::from(installation.clone())
        .into_active_model()
        .reset_all()
        .update(transaction)
        .await?;
    view(transaction, installation).await
}

async fn update_installation(
    spans: &Spans<'_>,
    installation: &mut Installation,
    update: InstallationUpdate,
) -> Result<(), ChangeError> {
    match (installation.enabled, update.enabled) {
        (true, Some(false)) => spans.close_open(SpanCloseReason::Disabled).await?,
        (false, Some(true)) => spans.reopen_disabled().await?,
        _ => {}
    }
    let was_held = installation.is_held();
    installation.enabled = update.enabled.unwrap_or(installation.enabled);
    installation.paused = update.paused.unwrap_or(installation.paused);
    if installation.is_held() != was_held {
        installation.held_since = (!was_held).then(|| spans.clock.now());
    }
    if let Some(name) = update.name {
        installation.name = name;
    }
    if let Some(url) = update.service_base_url {
        installation.service_base_url = Some(url);
    }
    if let Some(headers) = update.headers {
        installation.headers = headers;
    }
    if let Some(concurrency) = update.concurrency {
        installation.concurrency = Some(concurrency);
    }
    if let Some(ordered) = update.ordered {
        installation.ordered = ordered;
    }
    if let Some(rate_limit) = update.rate_limit {
        installation.rate_limit = rate_limit;
    }
    Ok(())
}

/// The spans of one installation, changed at one place of the log.
pub(super) struct Spans<'a> {
    pub(super) transaction: &'a DatabaseTransaction,
    pub(super) workspace: WorkspaceId,
    pub(super) installation: InstallationId,
    pub(super) head: Seq,
    pub(super) clock: Clock,
}

impl Spans<'_> {
    pub(super) async fn subscribe(
        &self,
        subscription: SubscriptionId,
        pattern: &EventPattern,
        enabled: bool,
    ) -> Result<(), ChangeError> {
        let same = self
            .current()
            .await?
            .into_iter()
            .any(|span| span.event_key == pattern.as_str());
        if same {
            return Err(ChangeError::Conflict(format!(
                "the extension is subscribed to {} already",
                pattern.as_str()
            )));
        }
        // While the installation is disabled the span is empty, and enabling opens the next one.
        let closed = (!enabled).then_some(SpanCloseReason::Disabled);
        self.insert(subscription, pattern.as_str(), closed).await
    }

    async fn unsubscribe(&self, subscription: SubscriptionId) -> Result<(), ChangeError> {
        let current = self.current().await?;
        let latest = current
            .iter()
            .find(|span| span.subscription_id == subscription.uuid())
            .ok_or(ChangeError::NotFound("subscription"))?;
        // A span that disabling closed keeps its end: only the reason changes, so that enabling leaves it.
        self.update_where(
            ext_event_subscription::Column::Id.eq(latest.id),
            SpanCloseReason::Unsubscribed,
        )
        .await
    }

    async fn close_open(&self, reason: SpanCloseReason) -> Result<(), ChangeError> {
        let open = ext_event_subscription::Column::UntilSeq.is_null();
        self.update_where(open, reason).await
    }

    async fn reopen_disabled(&self) -> Result<(), ChangeError> {
        for span in self.current().await? {
            self.insert(SubscriptionId::new(span.subscription_id), &span.event_key, None)
                .await?;
        }
        Ok(())
    }

    /// The latest span of each subscription that is open, or would be if the installation were enabled.
    async fn current(&self) -> Result<Vec<ext_event_subscription::Model>, DbErr> {
        let mut spans = ext_event_subscription::Entity::find()
            .filter(ext_event_subscription::Column::InstallationId.eq(self.installation.uuid()))
            .order_by_desc(ext_event_subscription::Column::FromSeq)
            .order_by_desc(ext_event_subscription::Column::Id)
            .all(self.transaction)
            .await?;
        let mut seen = std::collections::HashSet::new();
        spans.retain(|span| seen.insert(span.subscription_id) && is_current(span));
        Ok(spans)
    }

    async fn insert(
        &self,
        subscription: SubscriptionId,
        pattern: &str,
        closed_by: Option<SpanCloseReason>,
    ) -> Result<(), ChangeError> {
        let span = ext_event_subscription::Model {
            id: self.clock.new_uuid(),
            subscription_id: subscription.uuid(),
            installation_id: self.installation.uuid(),
            workspace_id: self.workspace.uuid(),
            event_key: pattern.to_owned(),
            from_seq: self.head.get(),
            until_seq: closed_by.map(|_| self.head.get()),
            closed_by: closed_by.map(|reason| reason.as_str().to_owned()),
            created_at: self.clock.now().millis(),
        };
        ext_event_subscription::Entity::insert(span.into_active_model())
            .exec_without_returning(self.transaction)
            .await?;
        Ok(())
    }

    async fn update_where(
        &self,
        which: impl sea_orm::sea_query::IntoCondition,
        reason: SpanCloseReason,
    ) -> Result<(), ChangeError> {
        let end = Func::coalesce([
            Expr::col(ext_event_subscription::Column::UntilSeq),
            Expr::value(self.head.get()),
        ]);
        ext_event_subscription::Entity::update_many()
            .col_expr(ext_event_subscription::Column::UntilSeq, end.into())
            .col_expr(
                ext_event_subscription::Column::ClosedBy,
                Expr::value(reason.as_str()),
            )
            .filter(ext_event_subscription::Column::InstallationId.eq(self.installation.uuid()))
            .filter(which)
            .exec(self.transaction)
            .await?;
        Ok(())
    }
}

/// Whether a subscription's latest span makes the subscription one of the installation's.
fn is_current(span: &ext_event_subscription::Model) -> bool {
    span.until_seq.is_none() || span.closed_by.as_deref() == Some(SpanCloseReason::Disabled.as_str())
}

/// The installation as caches need it.
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

/// Every installation of the workspace that may still have something to do.
pub(super) async fn views<C: ConnectionTrait>(
    connection: &C,
    workspace: WorkspaceId,
) -> Result<Vec<InstallationView>, ChangeError> {
    let installations = ext_installation::Entity::find()
        .filter(ext_installation::Column::WorkspaceId.eq(workspace.uuid()))
        // As the index of those that are not closed has it.
        .filter(Expr::cust("NOT closed"))
        .all(connection)
        .await?;
    let mut views = Vec::with_capacity(installations.len());
    for installation in installations {
        views.push(view(connection, installation.into()).await?);
    }
    Ok(views)
}
