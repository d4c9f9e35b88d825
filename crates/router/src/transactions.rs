//! What a caller wants done in the database, on the one connection that writes.

use futures_util::future::BoxFuture;
use sea_orm::{DatabaseTransaction, DbErr};
use tokio::{sync::oneshot, time::timeout};

use super::{
    answers::PublishError,
    event_router::{EventRouter, PUBLISH_TIMEOUT},
};
use pointsman_domain::{
    event::NewEvent,
    id::{EventId, WorkspaceId},
};
use pointsman_journal::ChangeError;
use pointsman_journal::{EffectCommand, EffectEnd, EffectFailure, EffectWork};

impl EventRouter {
    /// Runs `work` in a transaction of the one writer connection. On error it is rolled back.
    ///
    /// # Errors
    /// Those of `work`, and [`ChangeError::StorageUnavailable`].
    pub async fn write<T, F>(&self, work: F) -> Result<T, ChangeError>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a DatabaseTransaction) -> BoxFuture<'a, Result<T, ChangeError>> + Send + 'static,
    {
        self.shared
            .journal
            .write(move |transaction| Box::pin(async move { Ok((work(transaction).await?, Vec::new())) }))
            .await
    }

    /// Runs `work` and publishes the events in one transaction; nothing of it is left where one of them fails.
    /// Nobody waits for the handlers of the events.
    ///
    /// # Errors
    /// See [`PublishError`]; what `work` says is [`PublishError::Refused`].
    pub async fn transact<F>(
        &self,
        workspace: WorkspaceId,
        events: Vec<NewEvent>,
        work: F,
    ) -> Result<Vec<EventId>, PublishError>
    where
        F: for<'a> FnOnce(&'a DatabaseTransaction) -> BoxFuture<'a, Result<(), DbErr>> + Send + 'static,
    {
        self.may_publish(workspace)?;
        let entry = self.shared.directory.entry(workspace);
        let bytes = events.iter().map(NewEvent::queued_bytes).sum();
        let admitted = self.shared.admission.admit(&entry.admission, bytes);
        let _permit = admitted.ok_or(PublishError::Overloaded)?;
        let (reply, answer) = oneshot::channel();
        self.shared.journal.run_effect(EffectCommand {
            workspace_id: workspace,
            settles: None,
            work: Some(EffectWork::new(move |transaction| {
                let work = work(transaction);
                Box::pin(async move { work.await.map_err(EffectFailure::new) })
            })),
            events,
            reply,
        });
        match timeout(PUBLISH_TIMEOUT, answer).await {
            Ok(Ok(EffectEnd::Committed { event_ids })) => Ok(event_ids),
            Ok(Ok(EffectEnd::Failed(failure))) => Err(PublishError::Refused(
                failure
                    .downcast::<DbErr>()
                    .map_or_else(|| "no reason given".to_owned(), |error| error.to_string()),
            )),
            Ok(Ok(EffectEnd::Refused | EffectEnd::EndedTransaction | EffectEnd::Panicked)) => {
                Err(PublishError::Refused("the database refuses it".to_owned()))
            }
            Ok(Err(_)) => Err(PublishError::ShuttingDown),
            // Too slow, or no database.
            _ => Err(PublishError::StorageUnavailable),
        }
    }
}
