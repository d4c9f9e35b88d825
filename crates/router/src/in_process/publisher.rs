//! How a handler publishes.

use std::{fmt, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::Semaphore;

use crate::{answers, shared::Shared};
use pointsman_domain::{
    event::{NewEvent, derived_id},
    handler_name::HandlerName,
    id::{EventId, InstallationId},
};
use pointsman_extension::{
    PlatformEvent, Publication, PublishError,
    engine::{self, HandlerPublish},
};
use pointsman_journal::Append;

/// Events of one attempt that wait for their commit at a time. A handler's publish holds no permit of the admission, so
/// that it succeeds while publishers hold all permits. This number and the number of attempts bound such publishes.
const WAITING_PER_ATTEMPT: usize = 16;

/// Publishes for one attempt of one handler.
pub(super) struct AttemptPublisher {
    shared: Arc<Shared>,
    installation: InstallationId,
    extension: Arc<str>,
    handler: HandlerName,
    waiting: Arc<Semaphore>,
}

impl AttemptPublisher {
    pub(super) fn new(
        shared: Arc<Shared>,
        installation: InstallationId,
        extension: Arc<str>,
        handler: HandlerName,
    ) -> Self {
        Self {
            shared,
            installation,
            extension,
            handler,
            waiting: Arc::new(Semaphore::new(WAITING_PER_ATTEMPT)),
        }
    }
}

impl fmt::Debug for AttemptPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttemptPublisher")
            .field("installation", &self.installation)
            .field("handler", &self.handler)
            .finish_non_exhaustive()
    }
}

impl HandlerPublish for AttemptPublisher {
    /// Publishes through the WorkspaceActor like everybody else, but without a permit of the admission.
    fn publish(
        &self,
        cause: PlatformEvent,
        number: u32,
        publication: Publication,
    ) -> BoxFuture<'static, Result<EventId, PublishError>> {
        let id = derived_id(cause.id, self.installation, self.handler.as_str(), number);
        let (shared, waiting) = (Arc::clone(&self.shared), Arc::clone(&self.waiting));
        let extension = Arc::clone(&self.extension);
        async move {
            let event = shared.caused(id, &cause, publication, &extension).await?;
            // The semaphore is never closed.
            let _permit = waiting.acquire().await;
            let workspace_id = cause.workspace_id;
            let recorded = shared.record(workspace_id, None, |permit, reply| Append {
                workspace_id,
                events: vec![event.clone()],
                idempotency: None,
                reply,
                derived: true,
                permit,
                latch: None,
            });
            recorded.await.map(|_| id).map_err(for_author)
        }
        .boxed()
    }
}

/// What the author of a handler is told.
fn for_author(error: answers::PublishError) -> PublishError {
    match error {
        answers::PublishError::StorageUnavailable => PublishError::StorageUnavailable,
        answers::PublishError::ShuttingDown => PublishError::ShuttingDown,
        answers::PublishError::Refused(reason) => PublishError::Refused(reason),
        // A handler's publish has neither a permit nor an idempotency key.
        error @ (answers::PublishError::Overloaded
        | answers::PublishError::NoWorkspace
        | answers::PublishError::KeyInUse
        | answers::PublishError::KeyReused) => PublishError::Refused(error.to_string()),
    }
}

impl Shared {
    /// The event that a handler of `cause` publishes.
    pub(super) async fn caused(
        &self,
        id: EventId,
        cause: &PlatformEvent,
        publication: Publication,
        extension: &str,
    ) -> Result<NewEvent, PublishError> {
        let settings = &self.settings.in_process;
        let most = settings.max_payload_bytes;
        let publication = engine::publication_parts(publication);
        if publication.payload.len() > most {
            return Err(PublishError::Payload(format!("is larger than {most} bytes")));
        }
        let link = cause.caused();
        // A chain has one event more than its depth: the first event has no cause.
        if link.depth >= settings.max_causation_depth {
            let limit = settings.max_causation_depth;
            let chain = self.journal.causes_of(cause.workspace_id, cause.id, limit).await;
            let chain = chain.map_err(|_| PublishError::StorageUnavailable)?;
            return Err(PublishError::TooDeep { limit, chain });
        }
        Ok(NewEvent {
            id,
            event_key: publication.event_key,
            schema_version: publication.schema_version.map(Into::into),
            actor: Some(publication.actor.map_or_else(|| extension.into(), Into::into)),
            payload: publication.payload,
            occurred_at: self.clock.wall(),
            traceparent: cause.traceparent.clone(),
            cause: Some(link),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_journal::AppendError;

    #[test]
    fn a_refused_publish_carries_its_reason_once() {
        let refused = for_author(AppendError::Refused.into());
        assert_eq!(
            refused.to_string(),
            "the event could not be stored: the database refuses it"
        );
    }
}
