//! Short ways to ask the journal.

use pointsman_domain::{
    attempt::DeliveryKind,
    event::NewEvent,
    event_key::EventKey,
    handler_name::HandlerName,
    id::{EventId, InstallationId, WorkspaceId},
    idempotency::Recorded,
    installation::{DeliveryType, NewInstallation},
    lane::DeliveryKey,
    seq::Seq,
};
use pointsman_journal::{
    Append, AppendError, EffectCommand, EffectEnd, EffectOf, EffectWork, Journal, SettleCommand, SettleError,
};
use pointsman_simulated_clock::Clock;
use tokio::sync::oneshot;

/// Sends an append of one event, of a handler or of a publisher.
pub(crate) fn append(
    journal: &Journal,
    workspace_id: WorkspaceId,
    derived: bool,
) -> oneshot::Receiver<Result<Recorded, AppendError>> {
    let (reply, answer) = oneshot::channel();
    let event = NewEvent {
        id: EventId::new(Clock.new_uuid()),
        event_key: EventKey::parse("a.b").expect("it is valid"),
        schema_version: None,
        actor: None,
        payload: "{}".into(),
        occurred_at: Clock.now(),
        traceparent: None,
        cause: None,
    };
    journal.append(Append {
        latch: None,
        workspace_id,
        events: vec![event],
        idempotency: None,
        reply,
        derived,
        permit: None,
    });
    answer
}

pub(crate) async fn settle(
    journal: &Journal,
    workspace_id: WorkspaceId,
    installation_id: InstallationId,
    generation: i64,
    settled: Seq,
) -> Result<(), SettleError> {
    let (reply, answer) = oneshot::channel();
    journal.settle(SettleCommand {
        workspace_id,
        installation_id,
        generation,
        settled,
        park: Vec::new(),
        remove: Vec::new(),
        letters: Vec::new(),
        attempts: Vec::new(),
        reply,
    });
    answer.await.expect("the writer answers")
}

/// Runs an effect that writes something and ends a delivery.
pub(crate) fn run_effect(
    journal: &Journal,
    workspace_id: WorkspaceId,
    installation_id: InstallationId,
    generation: i64,
) -> oneshot::Receiver<EffectEnd> {
    let (reply, answer) = oneshot::channel();
    journal.run_effect(EffectCommand {
        workspace_id,
        settles: Some(EffectOf {
            installation_id,
            generation,
            key: DeliveryKey {
                kind: DeliveryKind::Live,
                event_id: EventId::new(Clock.new_uuid()),
                handler: HandlerName::WHOLE,
            },
            seq: Seq::new(1),
            dead_letter_id: None,
        }),
        work: Some(EffectWork::new(|_| Box::pin(async { Ok(()) }))),
        events: Vec::new(),
        reply,
    });
    answer
}

pub(crate) fn new_installation() -> NewInstallation {
    NewInstallation {
        id: InstallationId::new(Clock.new_uuid()),
        key: "crm".to_owned(),
        name: "CRM".to_owned(),
        delivery_type: DeliveryType::ExternalService,
        service_base_url: Some("http://127.0.0.1:1".to_owned()),
        signing_secret: String::new(),
        headers: String::new(),
        enabled: true,
        subscriptions: Vec::new(),
    }
}
