//! An event that a handler publishes.

use std::sync::Arc;

use serde::Serialize;

use pointsman_domain::{
    event_key::{EventKey, EventKeyError},
    id::EventId,
};

/// An event to be published: its key and payload, and what else a publisher may say.
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
    /// The payload has to become a JSON object.
    ///
    /// # Errors
    /// [`PublishError::EventKey`] and [`PublishError::Payload`].
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

    /// # Errors
    /// [`PublishError::Member`] when it is longer than 32 bytes or has control characters.
    pub fn schema_version(mut self, version: impl Into<String>) -> Result<Self, PublishError> {
        let version = version.into();
        check("schemaVersion", &version, MAX_SCHEMA_VERSION_BYTES)?;
        self.schema_version = Some(version);
        Ok(self)
    }

    /// Who publishes; without it, the key of the extension.
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

/// Why a handler's event was not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    #[error("the event key {event_key:?} {error}")]
    EventKey { event_key: String, error: EventKeyError },
    #[error("the payload {0}")]
    Payload(String),
    #[error("the {member} {message}")]
    Member { member: &'static str, message: String },
    /// `router.max_causation_depth` events have caused one another; two extensions may be notifying each other.
    #[error("the chain of causes is longer than {limit} events: {}", shown(chain))]
    TooDeep {
        limit: u32,
        /// From the event that is being handled back to the first that is still in the log.
        chain: Vec<(EventId, EventKey)>,
    },
    #[error("the database cannot be reached")]
    StorageUnavailable,
    #[error("the server is shutting down")]
    ShuttingDown,
    #[error("the event could not be stored: {0}")]
    Refused(String),
}

fn shown(chain: &[(EventId, EventKey)]) -> String {
    let causes: Vec<String> = chain.iter().map(|(id, key)| format!("{key} ({id})")).collect();
    causes.join(" ← ")
}
