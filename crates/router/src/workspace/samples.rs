//! Events, installations and an actor's address for unit tests.

use std::sync::Arc;

use actix::{MailboxError, Message};
use futures_util::{FutureExt as _, future::BoxFuture};
use uuid::Uuid;

use crate::mail::{Accepts, delivery::DeliveryRecipient, workspace::WorkspaceRecipient};
use pointsman_domain::{
    event::{NewEvent, PlatformEvent},
    event_key::EventKey,
    event_pattern::EventPattern,
    id::{EventId, InstallationId, SubscriptionId, WorkspaceId},
    installation::{DeliveryType, Installation, InstallationView},
    seq::Seq,
    span::Span,
    timestamp::Timestamp,
};

/// An event at that position.
pub(super) fn event(seq: i64, key: &str) -> Arc<PlatformEvent> {
    let new = NewEvent {
        id: EventId::new(Uuid::from_u128(seq.unsigned_abs().into())),
        event_key: EventKey::parse(key).unwrap(),
        schema_version: None,
        actor: None,
        payload: "{}".into(),
        occurred_at: Timestamp::default(),
        traceparent: None,
        cause: None,
    };
    let workspace = WorkspaceId::new(Uuid::nil());
    Arc::new(PlatformEvent::record(workspace, Seq::new(seq), new))
}

/// Covers the whole log.
pub(super) fn span(pattern: &str) -> Span {
    Span {
        subscription_id: SubscriptionId::new(Uuid::nil()),
        pattern: EventPattern::parse(pattern).unwrap(),
        from_seq: Seq::ZERO,
        until_seq: None,
        closed_by: None,
    }
}

pub(super) fn id(number: u128) -> InstallationId {
    InstallationId::new(Uuid::from_u128(number))
}

/// An external installation that is subscribed to this pattern, settled up to there, at its first revision.
pub(super) fn view(number: u128, pattern: &str, settled: i64) -> InstallationView {
    InstallationView {
        installation: Installation {
            id: id(number),
            workspace_id: WorkspaceId::new(Uuid::nil()),
            key: "sample".to_owned(),
            name: "Sample".to_owned(),
            delivery_type: DeliveryType::ExternalService,
            service_base_url: None,
            signing_secret: String::new(),
            previous_secret: None,
            headers: String::new(),
            enabled: true,
            paused: false,
            concurrency: None,
            ordered: false,
            rate_limit: None,
            available: true,
            held_since: None,
            revision: 1,
            installed_at: Timestamp::default(),
            installed_seq: Seq::ZERO,
            uninstalled_at: None,
            uninstalled_seq: None,
            closed: false,
        },
        spans: vec![span(pattern)],
        settled: Seq::new(settled),
        has_retries: false,
    }
}

/// The address of an actor that does nothing.
#[derive(Debug)]
pub(super) struct Nobody;

impl<M: Message> Accepts<M> for Nobody
where
    M::Result: Send + 'static,
{
    fn tell(&self, _: M) {}

    fn ask(&self, _: M) -> BoxFuture<'static, Result<M::Result, MailboxError>> {
        std::future::ready(Err(MailboxError::Closed)).boxed()
    }
}

impl DeliveryRecipient for Nobody {}

impl WorkspaceRecipient for Nobody {
    fn connected(&self) -> bool {
        false
    }
}
