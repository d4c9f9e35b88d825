//! `GET /api/workspaces/{workspaceId}/events/{eventId}`

use actix_web::{HttpResponse, web};
use serde::Serialize;

use super::{dto::EventDto, erase::ErasureDto};
use crate::http::{
    access::Caller, extensions::attempt::AttemptDto, json, path, problem::Problem, state::AppState,
};
use pointsman_domain::{
    attempt::DeadLetterReason,
    id::{DeadLetterId, EventId, InstallationId},
    timestamp::Timestamp,
};
use pointsman_store::{
    erasures,
    event_deliveries::{self, DeliveryStatus, EventDelivery, HandlerDelivery},
    events,
};

#[derive(Debug, Serialize)]
struct EventWithDeliveriesDto {
    #[serde(flatten)]
    event: EventDto,
    /// What was erased of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    erased: Option<ErasureDto>,
    /// The events that caused it, nearest first, as far as they are in the log.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<CauseDto>,
    deliveries: Vec<DeliveryDto>,
}

/// An event in the chain of causes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CauseDto {
    id: EventId,
    event_key: String,
}

/// What became of the event for one extension.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DeliveryDto {
    extension_id: InstallationId,
    extension_key: String,
    extension_name: String,
    status: DeliveryStatus,
    next_attempt_at: Option<Timestamp>,
    dead_letter_id: Option<DeadLetterId>,
    dead_letter_reason: Option<DeadLetterReason>,
    /// The handlers of an in-process extension whose delivery is parked, or is or was a dead letter.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    handlers: Vec<HandlerDto>,
    /// Oldest first.
    attempts: Vec<AttemptDto>,
}

/// What became of the event for one handler of an in-process extension.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HandlerDto {
    handler: String,
    status: DeliveryStatus,
    next_attempt_at: Option<Timestamp>,
    dead_letter_id: Option<DeadLetterId>,
    dead_letter_reason: Option<DeadLetterReason>,
}

impl From<HandlerDelivery> for HandlerDto {
    fn from(event_delivery: HandlerDelivery) -> Self {
        Self {
            handler: event_delivery.handler,
            status: event_delivery.status,
            next_attempt_at: event_delivery.next_attempt_at,
            dead_letter_id: event_delivery.letter.as_ref().map(|letter| letter.id),
            dead_letter_reason: event_delivery.letter.map(|letter| letter.reason),
        }
    }
}

impl From<EventDelivery> for DeliveryDto {
    fn from(event_delivery: EventDelivery) -> Self {
        Self {
            extension_id: event_delivery.installation.id,
            extension_key: event_delivery.installation.key,
            extension_name: event_delivery.installation.name,
            status: event_delivery.status,
            next_attempt_at: event_delivery.next_attempt_at,
            dead_letter_id: event_delivery.letter.as_ref().map(|letter| letter.id),
            dead_letter_reason: event_delivery.letter.map(|letter| letter.reason),
            handlers: event_delivery
                .handlers
                .into_iter()
                .map(HandlerDto::from)
                .collect(),
            attempts: event_delivery
                .attempts
                .into_iter()
                .map(AttemptDto::from)
                .collect(),
        }
    }
}

/// The event and what became of it for each extension.
pub(super) async fn get(
    state: web::Data<AppState>,
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (workspace, event) = path.into_inner();
    let workspace = state.member(&caller, &workspace).await?;
    let id: EventId = path::id(&event, "event")?;
    let db = &state.router.reader_of(workspace);
    let event = events::find(db, workspace, id)
        .await?
        .ok_or_else(|| Problem::not_found("event"))?;
    let erased = match event.is_erased() {
        true => erasures::find(db, workspace, event.seq).await?,
        false => None,
    };
    let causes = state.router.causes_of(workspace, &event).await?;
    let deliveries = event_deliveries::of_event(db, workspace, &event).await?;
    Ok(json::success_with(&EventWithDeliveriesDto {
        event: event.into(),
        erased: erased.map(ErasureDto::from),
        causes: causes
            .into_iter()
            .map(|(id, key)| CauseDto {
                id,
                event_key: key.as_str().to_owned(),
            })
            .collect(),
        deliveries: deliveries.into_iter().map(DeliveryDto::from).collect(),
    }))
}
