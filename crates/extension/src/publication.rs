//! Events that handlers publish.

use std::sync::Arc;

use serde::Serialize;

use pointsman_domain::{
    event_key::{EventKey, EventKeyError},
    id::EventId,
};

/// A publication is published at once by [`EventContext::publish_event`](super::EventContext::publish_event), or by an
/// [`Effect`](super::Effect) in its transaction. Without an actor, the key of the extension is the actor.
#[derive(Clone, Debug)]
pub struct Publication {
    pub(crate) event_key: EventKey,
    pub(crate) payload: Arc<str>,
    pub(crate) schema_version: Option<String>,
    pub(crate) actor: Option<String>,
}

/// Longest `schemaVersion` and `actor`, in bytes.
const MAX_SCHEMA_VERSION_BYTES: usize = 32;
const MAX_ACTOR_BYTES: usize = 255;

impl Publication {
    /// `event_key` has 2 or more segments joined by dots, at most 255 bytes. `payload` has to serialize to a JSON
    /// object.
    ///
    /// # Errors
    /// [`PublishError::EventKey`] where `event_key` is none, [`PublishError::Payload`] where `payload` does not
    /// serialize to an object.
    pub fn new(event_key: &str, payload: &impl Serialize) -> Result<Self, PublishError> {
        let event_key = EventKey::parse(event_key).map_err(|error| PublishError::EventKey {
            event_key: event_key.to_owned(),
            error,
        })?;
        let payload =
            serde_json::to_string(payload).map_err(|error| PublishError::Payload(error.to_string()))?;
        if !payload.starts_with('{') {
            return Err(PublishError::Payload("must be an object".to_owned()));
        }
        Ok(Self {
            event_key,
            payload: payload.into(),
            schema_version: None,
            actor: None,
        })
    }

    /// Sets the version of the payload's schema.
    ///
    /// # Errors
    /// [`PublishError::Member`] when it is longer than 32 bytes or has control characters.
    pub fn schema_version(mut self, version: impl Into<String>) -> Result<Self, PublishError> {
        let version = version.into();
        check("schemaVersion", &version, MAX_SCHEMA_VERSION_BYTES)?;
        self.schema_version = Some(version);
        Ok(self)
    }

    /// Sets who publishes. Without it, the actor is the key of the extension.
    ///
    /// # Errors
    /// [`PublishError::Member`] when it is longer than 255 bytes or has control characters.
    pub fn actor(mut self, actor: impl Into<String>) -> Result<Self, PublishError> {
        let actor = actor.into();
        check("actor", &actor, MAX_ACTOR_BYTES)?;
        self.actor = Some(actor);
        Ok(self)
    }
}

fn check(member: &'static str, text: &str, max_bytes: usize) -> Result<(), PublishError> {
    let message = if text.len() > max_bytes {
        format!("must be at most {max_bytes} bytes long")
    } else if text.chars().any(char::is_control) {
        "must not contain control characters".to_owned()
    } else {
        return Ok(());
    };
    Err(PublishError::Member { member, message })
}

/// The error of a publish. With `?` it becomes the error of the handler, and the delivery is retried by the schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The text is not an event key.
    #[error("the event key {event_key:?} {error}")]
    EventKey {
        /// The text that was refused.
        event_key: String,
        /// The rule that it breaks.
        error: EventKeyError,
    },
    /// The payload does not serialize to a JSON object. Holds the reason.
    #[error("the payload {0}")]
    Payload(String),
    /// The schema version or the actor is not allowed.
    #[error("the {member} {message}")]
    Member {
        /// `schemaVersion` or `actor`.
        member: &'static str,
        /// The rule that it breaks.
        message: String,
    },
    /// The handled event ends a chain of `router.max_causation_depth` events, each caused by the one before. Two
    /// extensions may be notifying each other without end.
    #[error("the chain of causes is longer than {limit} events: {}", shown(chain))]
    TooDeep {
        /// The value of `router.max_causation_depth`.
        limit: u32,
        /// The ids and keys, from the handled event back to the first one that is still in the log.
        chain: Vec<(EventId, EventKey)>,
    },
    /// The database cannot be reached, its disk is nearly full, it has not answered in time, or the journal has ended
    /// by a defect. The event may be recorded nevertheless: a repeated attempt does not publish it twice.
    #[error("the database cannot be reached, or its disk is nearly full")]
    StorageUnavailable,
    /// The server was told to stop.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The database has refused the event. Holds the reason.
    #[error("the event could not be stored: {0}")]
    Refused(String),
}

fn shown(chain: &[(EventId, EventKey)]) -> String {
    let causes: Vec<String> = chain.iter().map(|(id, key)| format!("{key} ({id})")).collect();
    causes.join(" ← ")
}
