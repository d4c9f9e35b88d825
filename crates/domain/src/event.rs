//! Events: what publishers hand in and what the log keeps.

#![warn(missing_docs)]

mod cause;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

pub use self::cause::{Cause, derived_id};
use super::{
    event_key::EventKey,
    id::{EventId, WorkspaceId},
    seq::Seq,
    sync_latch::SyncLatch,
    timestamp::Timestamp,
};

/// An accepted event that has no position in the log yet. Its id is assigned when it is accepted, so that
/// sending it to the journal twice cannot record it twice. Cheap to clone: its texts are shared.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// A UUID v7, new for each event, as `Clock::new_uuid` gives it.
    pub id: EventId,
    /// The kind of the event, which subscriptions match.
    pub event_key: EventKey,
    /// The version of the payload's schema as the publisher names it: at most 32 bytes without control characters.
    pub schema_version: Option<Arc<str>>,
    /// Who has published it as the publisher says: at most 255 bytes without control characters.
    pub actor: Option<Arc<str>>,
    /// The JSON text of the payload object exactly as it was sent.
    pub payload: Arc<str>,
    /// When it was accepted, by the wall clock (`Clock::wall`). Deliveries and the API show it.
    pub occurred_at: Timestamp,
    /// W3C trace context of the publisher, sent on with every delivery.
    pub traceparent: Option<String>,
    /// What led to it, where a handler published it; `None` where it comes from outside.
    pub cause: Option<Cause>,
}

/// About the bytes that an event takes beside its payload.
const OVERHEAD_BYTES: usize = 256;

impl NewEvent {
    /// About how much memory, or room in a transaction, the event takes.
    pub fn queued_bytes(&self) -> usize {
        self.payload.len() + OVERHEAD_BYTES
    }
}

/// An event as the log keeps it.
#[derive(Debug)]
pub struct PlatformEvent {
    /// The workspace to which it was published.
    pub workspace_id: WorkspaceId,
    /// Its position in the log of the workspace.
    pub seq: Seq,
    /// The id under which it was accepted. It is the `webhook-id` of its deliveries.
    pub id: EventId,
    /// The kind of the event, which subscriptions match.
    pub event_key: EventKey,
    /// The version of the payload's schema as the publisher names it: at most 32 bytes without control characters.
    pub schema_version: Option<Arc<str>>,
    /// Who has published it as the publisher says: at most 255 bytes without control characters.
    pub actor: Option<Arc<str>>,
    /// The JSON text of the payload object exactly as it was sent.
    pub payload: Arc<str>,
    /// When it was accepted, by the wall clock.
    pub occurred_at: Timestamp,
    /// W3C trace context of the publisher, sent on with every delivery.
    pub traceparent: Option<String>,
    /// What led to it, where a handler published it; `None` where it comes from outside.
    pub cause: Option<Cause>,
    /// Why the event as the database keeps it cannot be delivered; `None` for an intact event. One line for a person.
    pub defect: Option<Box<str>>,
    /// The latch that its publisher waits for; `None` where the publisher does not wait.
    pub latch: Option<Arc<SyncLatch>>,
    body: OnceLock<Bytes>,
}

/// What stands in place of a payload that was erased: JSON, and not an object, so that no publisher can have sent it.
pub const ERASED_PAYLOAD: &str = "null";
/// The defect of an event whose payload was erased.
pub const ERASED: &str = "its payload was erased";

impl PlatformEvent {
    /// The event at its position in the log of a workspace.
    pub fn record(workspace_id: WorkspaceId, seq: Seq, event: NewEvent) -> Self {
        Self {
            workspace_id,
            seq,
            id: event.id,
            event_key: event.event_key,
            schema_version: event.schema_version,
            actor: event.actor,
            payload: event.payload,
            occurred_at: event.occurred_at,
            traceparent: event.traceparent,
            cause: event.cause,
            defect: None,
            latch: None,
            body: OnceLock::new(),
        }
    }

    /// The event without what is erased of it. Its publisher is not waited for any more.
    pub fn erased(&self) -> Self {
        let event = NewEvent {
            id: self.id,
            event_key: self.event_key.clone(),
            schema_version: self.schema_version.clone(),
            actor: None,
            payload: ERASED_PAYLOAD.into(),
            occurred_at: self.occurred_at,
            traceparent: self.traceparent.clone(),
            cause: self.cause,
        };
        let mut erased = Self::record(self.workspace_id, self.seq, event);
        erased.defect = Some(ERASED.into());
        erased
    }

    /// Whether its payload was erased.
    pub fn is_erased(&self) -> bool {
        &*self.payload == ERASED_PAYLOAD
    }

    /// The event at the beginning of its chain of causes; itself, where it comes from outside.
    pub fn correlation_id(&self) -> EventId {
        self.cause.map_or(self.id, |cause| cause.correlation_id)
    }

    /// The cause of an event that a handler of this one publishes.
    pub fn caused(&self) -> Cause {
        Cause {
            causation_id: self.id,
            correlation_id: self.correlation_id(),
            depth: self.cause.map_or(0, |cause| cause.depth).saturating_add(1),
        }
    }

    /// The JSON body of every delivery of this event, assembled once and shared by all its deliveries.
    pub fn delivery_body(&self) -> Bytes {
        self.body.get_or_init(|| self.assemble_body()).clone()
    }

    fn assemble_body(&self) -> Bytes {
        let mut body = String::with_capacity(self.payload.len() + self.event_key.as_str().len() + 256);
        body.push_str("{\"id\":\"");
        body.push_str(&self.id.to_string());
        body.push_str("\",\"eventKey\":\"");
        // An event key consists of [A-Za-z0-9_.-] only, so that it needs no escaping.
        body.push_str(self.event_key.as_str());
        body.push('"');
        push_text_member(&mut body, "schemaVersion", self.schema_version.as_deref());
        body.push_str(",\"tenantId\":\"");
        body.push_str(&self.workspace_id.to_string());
        body.push('"');
        push_text_member(&mut body, "actor", self.actor.as_deref());
        body.push_str(",\"payload\":");
        body.push_str(&self.payload);
        body.push_str(",\"occurredAt\":\"");
        body.push_str(&self.occurred_at.to_rfc3339());
        body.push_str("\"}");
        Bytes::from(body)
    }
}

/// Appends `,"name":"value"` with the value escaped, or nothing where there is no value.
fn push_text_member(body: &mut String, name: &str, value: Option<&str>) {
    let Some(value) = value else { return };
    body.push_str(",\"");
    body.push_str(name);
    body.push_str("\":");
    body.push_str(&serde_json::Value::from(value).to_string());
}
