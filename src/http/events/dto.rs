//! How an event is shown.

use serde::Serialize;

use crate::{
    domain::{
        event::PlatformEvent,
        id::{EventId, WorkspaceId},
        seq::Seq,
        timestamp::Timestamp,
    },
    http::payload::PayloadDto,
};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventDto {
    id: EventId,
    /// Its place in the workspace's order: gapless, from 1.
    pub(super) seq: Seq,
    event_key: String,
    schema_version: Option<String>,
    tenant_id: WorkspaceId,
    actor: Option<String>,
    #[serde(flatten)]
    payload: PayloadDto,
    occurred_at: Timestamp,
}

impl From<PlatformEvent> for EventDto {
    fn from(event: PlatformEvent) -> Self {
        Self {
            id: event.id,
            seq: event.seq,
            event_key: event.event_key.as_str().to_owned(),
            schema_version: event.schema_version,
            tenant_id: event.workspace_id,
            actor: event.actor,
            payload: event.payload.into_string().into(),
            occurred_at: event.occurred_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{event::NewEvent, event_key::EventKey};

    #[test]
    fn the_payload_is_shown_as_it_was_sent() {
        let payload = "{ \"amount\" : 5000.00,\"a\":1 ,\"a\":2}";
        let event = NewEvent {
            id: EventId::new(uuid::Uuid::nil()),
            event_key: EventKey::parse("crm.deal.closed").unwrap(),
            schema_version: None,
            actor: Some("é\"".to_owned()),
            payload: payload.into(),
            occurred_at: Timestamp::from_millis(0),
            traceparent: None,
        };
        let workspace = WorkspaceId::new(uuid::Uuid::nil());
        let dto = EventDto::from(PlatformEvent::record(workspace, Seq::new(7), event));
        let nil = uuid::Uuid::nil();
        assert_eq!(
            serde_json::to_string(&dto).unwrap(),
            format!(
                "{{\"id\":\"{nil}\",\"seq\":7,\"eventKey\":\"crm.deal.closed\",\"schemaVersion\":null,\
                 \"tenantId\":\"{nil}\",\"actor\":\"é\\\"\",\"payload\":{payload},\
                 \"occurredAt\":\"1970-01-01T00:00:00.000Z\"}}"
            )
        );
    }
}
