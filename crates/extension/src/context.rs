//! What a handler learns besides the payload, and how it publishes.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use futures_util::future::BoxFuture;
use serde::Serialize;
use uuid::Uuid;

use super::{PlatformEvent, Publication, PublishError};
use pointsman_domain::id::{EventId, InstallationId, WorkspaceId};

/// One attempt to handle one event in one installation. It can publish events. Cheap to clone.
#[derive(Clone)]
pub struct EventContext(Arc<Attempt>);

struct Attempt {
    parts: ContextParts,
    /// The number of events that this attempt has published.
    published: AtomicU32,
}

/// What the router knows of the attempt; see the methods of [`EventContext`].
#[derive(Debug)]
pub struct ContextParts {
    /// The event that is handled.
    pub event: PlatformEvent,
    /// The installation in which it is handled.
    pub installation: InstallationId,
    /// The same for every attempt of this delivery.
    pub deduplication_id: Uuid,
    /// From 1.
    pub attempt: u32,
    /// Whether an admin replays a dead letter.
    pub is_replay: bool,
    /// Publishes for the handler.
    pub publish: Arc<dyn HandlerPublish>,
}

/// Records the events that a handler publishes.
pub trait HandlerPublish: std::fmt::Debug + Send + Sync {
    /// Records the `number`-th event of the attempt, from 1, and returns when it is durable. An event with the same
    /// number is recorded once, however often the attempt is repeated.
    fn publish(
        &self,
        cause: PlatformEvent,
        number: u32,
        publication: Publication,
    ) -> BoxFuture<'static, Result<EventId, PublishError>>;
}

impl EventContext {
    pub(crate) fn new(parts: ContextParts) -> Self {
        Self(Arc::new(Attempt {
            parts,
            published: AtomicU32::new(0),
        }))
    }

    /// The event that is handled.
    pub fn event(&self) -> &PlatformEvent {
        &self.0.parts.event
    }

    /// The workspace (tenant) of the event, into which [`EventContext::publish`] publishes.
    pub fn workspace_id(&self) -> WorkspaceId {
        self.event().workspace_id
    }

    /// The installation of the extension in which the handler runs.
    pub fn installation_id(&self) -> InstallationId {
        self.0.parts.installation
    }

    /// The number of this attempt, from 1. A first attempt that a crash has interrupted is repeated as a first attempt.
    pub fn attempt(&self) -> u32 {
        self.0.parts.attempt
    }

    /// Whether this attempt is the replay of a dead letter, which an admin has asked for.
    pub fn is_replay(&self) -> bool {
        self.0.parts.is_replay
    }

    /// Identifies the delivery: it is the same for every attempt of this handler to handle this event in this
    /// installation, and differs from that of every other delivery. A handler can store it with its work, to recognise
    /// a repetition.
    pub fn deduplication_id(&self) -> Uuid {
        self.0.parts.deduplication_id
    }

    /// Publishes an event into this workspace and returns its id when it is durable. It does not wait for the handlers
    /// of that event. `event_key` has 2 or more segments joined by dots, at most 255 bytes; `payload` has to serialize
    /// to a JSON object. The published event records the handled one as its cause.
    ///
    /// A repeated attempt does not publish again: its n-th call returns the event that the n-th call of the first
    /// attempt has recorded, whatever its arguments are.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn publish(&self, event_key: &str, payload: impl Serialize) -> Result<EventId, PublishError> {
        let publication = Publication::new(event_key, &payload)?;
        self.publish_event(publication).await
    }

    /// Does what [`EventContext::publish`] does for a [`Publication`], which can have a schema version and an actor.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn publish_event(&self, publication: Publication) -> Result<EventId, PublishError> {
        let number = self.0.published.fetch_add(1, Ordering::Relaxed) + 1;
        let parts = &self.0.parts;
        parts
            .publish
            .publish(parts.event.clone(), number, publication)
            .await
    }
}

impl fmt::Debug for EventContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventContext")
            .field("event", self.event())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}
