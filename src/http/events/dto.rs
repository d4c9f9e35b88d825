//! How an event is shown.

use std::sync::Arc;

use serde::Serialize;

use crate::http::payload::PayloadDto;
use pointsman_domain::{
    event::PlatformEvent,
    id::{EventId, WorkspaceId},
    seq::Seq,
    timestamp::Timestamp,
};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventDto {
    id: EventId,
    /// Its position in the workspace's log: without gaps, from 1.
    pub(super) seq: Seq,
    event_key: String,
    schema_version: Option<Arc<str>>,
    tenant_id: WorkspaceId,
    actor: Option<Arc<str>>,
    #[serde(flatten)]
    payload: PayloadDto,
    occurred_at: Timestamp,
    /// The event whose handler published it.
    #[serde(skip_serializing_if = "Option::is_none")]
    causation_id: Option<EventId>,
    /// The first event of the chain; its own id for an event from outside.
    correlation_id: EventId,
}

impl From<PlatformEvent> for EventDto {
    fn from(event: PlatformEvent) -> Self {
        Self {
            causation_id: event.cause.map(|cause| cause.causation_id),
            correlation_id: event.correlation_id(),
            id: event.id,
            seq: event.seq,
            event_key: event.event_key.as_str().to_owned(),
            schema_version: event.schema_version,
            tenant_id: event.workspace_id,
            actor: event.actor,
            payload: String::from(&*event.payload).into(),
            occurred_at: event.occurred_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_domain::{
        event::{Cause, NewEvent},
        event_key::EventKey,
    };

    fn new_event(payload: &str) -> NewEvent {
        NewEvent {
            id: EventId::new(uuid::Uuid::nil()),
            event_key: EventKey::parse("crm.deal.closed").unwrap(),
            schema_version: None,
            actor: Some("é\"".into()),
            payload: payload.into(),
            occurred_at: Timestamp::from_millis(0),
            traceparent: None,
            cause: None,
        }
    }

    #[test]
    fn the_payload_is_shown_as_it_was_sent() {
        let payload = "{ \"amount\" : 5000.00,\"a\":1 ,\"a\":2}";
        let event = new_event(payload);
        let workspace = WorkspaceId::new(uuid::Uuid::nil());
        let dto = EventDto::from(PlatformEvent::record(workspace, Seq::new(7), event));
        let nil = uuid::Uuid::nil();
        assert_eq!(
            serde_json::to_string(&dto).unwrap(),
            format!(
                "{{\"id\":\"{nil}\",\"seq\":7,\"eventKey\":\"crm.deal.closed\",\"schemaVersion\":null,\
                 \"tenantId\":\"{nil}\",\"actor\":\"é\\\"\",\"payload\":{payload},\
                 \"occurredAt\":\"1970-01-01T00:00:00.000Z\",\"correlationId\":\"{nil}\"}}"
            )
        );
    }

    #[test]
    fn the_causes_of_an_event_are_shown() {
        let [source, first] = [1, 2].map(|n| EventId::new(uuid::Uuid::from_u128(n)));
        let event = NewEvent {
            cause: Some(Cause {
                causation_id: source,
                correlation_id: first,
                depth: 2,
            }),
            ..new_event("{}")
        };
        let workspace = WorkspaceId::new(uuid::Uuid::nil());
        let dto = EventDto::from(PlatformEvent::record(workspace, Seq::new(7), event));
        let shown = serde_json::to_value(&dto).unwrap();
        assert_eq!(shown["causationId"], source.to_string());
        assert_eq!(shown["correlationId"], first.to_string());
    }
}
