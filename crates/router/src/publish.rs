//! How every event gets to the log: by a message to the WorkspaceActor.
//!
//! - Publishers over HTTP and hosts hold a permit of the admission, which also keeps the actor from stopping for want
//!   of work while their message is on its way.
//! - Handlers hold none: they publish while publishers hold every permit. What bounds them is the number of attempts.
//! - A transaction with events is an effect that ends no delivery.

#![warn(missing_docs)]

use std::sync::Arc;

use futures_util::future::BoxFuture;
use pointsman_domain::{
    event::NewEvent,
    event_key::EventKey,
    id::{EventId, WorkspaceId},
    idempotency::{Idempotency, Recorded},
    sync_latch::{Opened, SyncLatch},
};
use pointsman_journal::{Append, AppendError, EffectCommand, EffectEnd, EffectFailure, EffectWork, Permit};
use sea_orm::{DatabaseTransaction, DbErr};
use std::time::Duration;
use tokio::{sync::oneshot, time::timeout};

use crate::{
    answers::PublishError,
    event_router::EventRouter,
    mail::{
        Handover,
        workspace::{Publish, WorkspaceAddress},
    },
    shared::Shared,
};

/// A publisher is told `StorageUnavailable` after this time. The limit of the commit itself is shorter.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often events and effects are sent where an actor ends before the journal has taken them.
const TRIES: usize = 3;

type Reply = oneshot::Sender<Result<Recorded, AppendError>>;

/// Why nothing is known of the end of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EffectLost {
    /// The actors that were to hand it to the journal have ended before, up to [`TRIES`] of them. Nothing was done.
    BeforeJournal,
    /// The journal has ended while it had the effect, which may be durable. An effect that ends a delivery has left its
    /// mark then, and is not done again.
    InJournal,
}

impl EventRouter {
    /// Publishes an event. Returns when it is durable and its synchronous handlers have handled it, but at the latest
    /// `in_process.sync_timeout` after it is durable. A handler whose lane is behind is not waited for.
    ///
    /// # Errors
    /// See [`PublishError`]. After `StorageUnavailable` the event may have been recorded all the same;
    /// publishing it again under the same `idempotency` never records it twice.
    pub async fn publish(
        &self,
        workspace: WorkspaceId,
        event: NewEvent,
        idempotency: Option<Idempotency>,
    ) -> Result<Recorded, PublishError> {
        let (mut opens, bytes) = (None, event.queued_bytes());
        let recorded = self
            .shared
            .record(workspace, Some(bytes), |permit, reply| {
                let (latch, opened) = self.sync_latch(&event.event_key).unzip();
                opens = opened;
                Append {
                    workspace_id: workspace,
                    events: vec![event.clone()],
                    idempotency: idempotency.clone(),
                    reply,
                    derived: false,
                    permit,
                    latch,
                }
            })
            .await?;
        if let Some(opened) = opens.filter(|_| !recorded.replayed) {
            // The event is recorded, whatever its handlers do, and whether or not they do it in time.
            let _ = timeout(self.shared.settings.in_process.sync_timeout, opened.wait()).await;
        }
        Ok(recorded)
    }

    /// Runs `work` and publishes the events in one transaction; nothing of it is left where one of them fails.
    /// Does not wait for the handlers of the events.
    ///
    /// # Errors
    /// See [`PublishError`]; what `work` says is [`PublishError::Refused`]. After `StorageUnavailable` the work and
    /// the events may be durable all the same.
    pub async fn transact<F>(
        &self,
        workspace: WorkspaceId,
        events: Vec<NewEvent>,
        work: F,
    ) -> Result<Vec<EventId>, PublishError>
    where
        F: for<'a> FnOnce(&'a DatabaseTransaction) -> BoxFuture<'a, Result<(), DbErr>> + Send + 'static,
    {
        let bytes = events.iter().map(NewEvent::queued_bytes).sum();
        let (_, _permit) = self.shared.admitted(workspace, bytes)?;
        let work = EffectWork::new(move |transaction| {
            let work = work(transaction);
            Box::pin(async move { work.await.map_err(EffectFailure::new) })
        });
        let run = self.shared.run_effect(|reply| EffectCommand {
            workspace_id: workspace,
            settles: None,
            work: Some(work),
            events,
            reply,
        });
        match timeout(TIMEOUT, run).await {
            Ok(Ok(EffectEnd::Committed { event_ids })) => Ok(event_ids),
            Ok(Ok(EffectEnd::Failed(failure))) => Err(PublishError::Refused(
                failure
                    .downcast::<DbErr>()
                    .map_or_else(|| "no reason given".to_owned(), |error| error.to_string()),
            )),
            Ok(Ok(EffectEnd::Refused | EffectEnd::EndedTransaction | EffectEnd::Panicked)) => {
                Err(PublishError::Refused("the database refuses it".to_owned()))
            }
            // It ends no delivery, so that no newer lane has its place.
            Ok(Ok(EffectEnd::Fenced)) => Err(PublishError::NoWorkspace),
            Ok(Err(_)) if self.shared.is_stopping() => Err(PublishError::ShuttingDown),
            // Too slow, no database, or no answer.
            _ => Err(PublishError::StorageUnavailable),
        }
    }

    /// Whether a publish into the workspace would be refused if it came now, as far as that can be told before it
    /// comes. `Ok` is no promise.
    ///
    /// # Errors
    /// [`PublishError::ShuttingDown`] and [`PublishError::Overloaded`].
    pub fn may_publish(&self, workspace: WorkspaceId) -> Result<(), PublishError> {
        if self.shared.is_stopping() {
            return Err(PublishError::ShuttingDown);
        }
        let entry = self.shared.directory.entry(workspace);
        match self.shared.admission.admit(&entry.admission, 0) {
            Some(_released) => Ok(()),
            None => Err(PublishError::Overloaded),
        }
    }

    /// The latch at which the publisher of such an event waits, if there may be a synchronous handler of it.
    fn sync_latch(&self, key: &EventKey) -> Option<(Arc<SyncLatch>, Opened)> {
        let extensions = &self.shared.settings.in_process.extensions;
        extensions.has_sync_handler_of(key).then(SyncLatch::new)
    }
}

impl Shared {
    /// Sends events to the log, with a permit for so many bytes or without, and returns when they are durable. Events
    /// that are lost with an actor are sent again: their ids are unique, so that none is recorded twice.
    pub(crate) async fn record(
        self: &Arc<Self>,
        workspace: WorkspaceId,
        bytes: Option<usize>,
        mut append: impl FnMut(Option<Permit>, Reply) -> Append,
    ) -> Result<Recorded, PublishError> {
        for _ in 0..TRIES {
            let (actor, permit) = match bytes {
                Some(bytes) => {
                    let (actor, permit) = self.admitted(workspace, bytes)?;
                    (actor, Some(permit))
                }
                None => (self.workspace(workspace), None),
            };
            let (reply, answer) = oneshot::channel();
            actor.tell(Publish::Events(append(permit, reply)));
            match timeout(TIMEOUT, answer).await {
                Ok(Ok(result)) => return Ok(result?),
                // Dropped unanswered by an actor that died with it, or by a journal that has ended.
                Ok(Err(_)) => {}
                Err(_) => return Err(PublishError::StorageUnavailable),
            }
        }
        Err(if self.is_stopping() {
            PublishError::ShuttingDown
        } else {
            PublishError::StorageUnavailable
        })
    }

    /// Has an effect run and returns what became of it. Its events go the way of all events.
    ///
    /// # Errors
    /// See [`EffectLost`].
    pub(crate) async fn run_effect(
        self: &Arc<Self>,
        effect: impl FnOnce(oneshot::Sender<EffectEnd>) -> EffectCommand,
    ) -> Result<EffectEnd, EffectLost> {
        let (reply, answer) = oneshot::channel();
        let effect = effect(reply);
        if effect.events.is_empty() {
            self.journal.run_effect(effect);
        } else {
            self.hand_to_journal(Box::new(effect)).await?;
        }
        answer.await.map_err(|_| EffectLost::InJournal)
    }

    /// Sends an effect to the log, and to the successor of an actor that ended before the journal took it.
    async fn hand_to_journal(self: &Arc<Self>, mut effect: Box<EffectCommand>) -> Result<(), EffectLost> {
        for _ in 0..TRIES {
            let actor = self.workspace(effect.workspace_id);
            let (handover, handed) = Handover::new(effect);
            actor.tell(Publish::Transaction(handover));
            match handed.taken().await {
                Ok(()) => return Ok(()),
                Err(returned) => effect = returned,
            }
            if self.is_stopping() {
                break;
            }
        }
        Err(EffectLost::BeforeJournal)
    }

    /// The actor to publish through and a permit to do so. The actor lives at least as long as the permit is held,
    /// unless it dies.
    fn admitted(
        self: &Arc<Self>,
        workspace: WorkspaceId,
        bytes: usize,
    ) -> Result<(WorkspaceAddress, Permit), PublishError> {
        loop {
            if self.is_stopping() {
                return Err(PublishError::ShuttingDown);
            }
            let entry = self.directory.entry(workspace);
            let admitted = self.admission.admit(&entry.admission, bytes);
            let permit = admitted.ok_or(PublishError::Overloaded)?;
            // The directory has let go of the entry in between: there is another entry by now.
            if let Some(actor) = self.workspace_of(workspace, &entry) {
                return Ok((actor, permit));
            }
        }
    }
}
