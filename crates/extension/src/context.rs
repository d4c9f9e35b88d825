//! What a handler is told besides the payload, and what it may ask for.

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

/// One attempt to handle one event. Cheap to clone.
#[derive(Clone)]
pub struct EventContext(Arc<Attempt>);

struct Attempt {
    parts: ContextParts,
    /// Events published by this attempt.
    published: AtomicU32,
}

/// What the router knows of the attempt.
#[derive(Debug)]
pub struct ContextParts {
    pub event: PlatformEvent,
    pub installation: InstallationId,
    pub deduplication_id: Uuid,
    /// From 1.
    pub attempt: u32,
    pub is_replay: bool,
    pub publish: Arc<dyn HandlerPublish>,
}

/// How the events of a handler reach the log.
pub trait HandlerPublish: std::fmt::Debug + Send + Sync {
    /// Records the `number`-th (from 1) event of the attempt, once, however often the attempt is repeated.
    /// Returns when it is durable.
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

    pub fn event(&self) -> &PlatformEvent {
        &self.0.parts.event
    }

    pub fn workspace_id(&self) -> WorkspaceId {
        self.event().workspace_id
    }

    /// In which installation of the extension the handler runs.
    pub fn installation_id(&self) -> InstallationId {
        self.0.parts.installation
    }

    /// The number of this attempt, from 1. A first attempt that a crash interrupted is a first attempt again.
    pub fn attempt(&self) -> u32 {
        self.0.parts.attempt
    }

    /// Whether an admin replays a dead letter.
    pub fn is_replay(&self) -> bool {
        self.0.parts.is_replay
    }

    /// The same for every attempt of this handler at this event in this installation, and for no other: what a
    /// handler may remember to see that it has done its work already.
    pub fn deduplication_id(&self) -> Uuid {
        self.0.parts.deduplication_id
    }

    /// Publishes an event into this workspace and returns its id when it is durable; nobody waits for those who
    /// handle it. A handler that is tried again does not publish again: its n-th publish is the same event
    /// every time, the one that was recorded first. The event records what caused it.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn publish(&self, event_key: &str, payload: impl Serialize) -> Result<EventId, PublishError> {
        let publication = Publication::new(event_key, &payload)?;
        self.publish_event(publication).await
    }

    /// As [`EventContext::publish`], with all that a publisher may say.
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
