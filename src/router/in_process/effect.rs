//! The effect of a handler: its writes and events, durable together with the end of the delivery.

use futures_util::FutureExt;
use tokio::sync::oneshot;

use super::{invocation::Failed, means::Call, panics::Caught};
use crate::{
    domain::id::EventId,
    extension::{Effect, HandlerError, PlatformEvent},
    journal::{EffectCommand, EffectEnd, EffectFailure, EffectOf, EffectWork},
};

impl Call {
    /// How the attempt ended; nothing where the handler is to be run again, through no fault of its own.
    pub(super) async fn settle_with(&self, effect: Effect) -> Option<Result<(), Failed>> {
        let events = match self.events(&effect).await {
            Ok(events) => events,
            Err(error) => return Some(Err(Failed::Error(error))),
        };
        let (reply, answer) = oneshot::channel();
        let delivery = &self.delivery;
        self.shared.journal.run_effect(EffectCommand {
            workspace_id: self.view.workspace_id(),
            settles: Some(EffectOf {
                installation_id: self.view.id(),
                generation: self.generation,
                key: delivery.key,
                seq: delivery.event.seq,
                dead_letter_id: delivery.dead_letter_id,
            }),
            work: effect.work.map(work),
            events,
            reply,
        });
        match answer.await {
            Ok(EffectEnd::Committed { .. } | EffectEnd::AlreadyDone) => Some(Ok(())),
            Ok(EffectEnd::Failed(failure)) => Some(Err(failed(failure))),
            Ok(EffectEnd::Panicked) => Some(Err(Failed::Panic("the effect panicked".to_owned()))),
            Ok(EffectEnd::TimedOut) => Some(Err(Failed::EffectTimedOut)),
            Ok(EffectEnd::Refused) => {
                let error =
                    HandlerError::new("the database refuses the effect, or an event of it; its log says why");
                Some(Err(Failed::Error(error)))
            }
            Ok(EffectEnd::EndedTransaction) => {
                let error = HandlerError::new(
                    "the effect ended the transaction that it is part of; nothing of it was done",
                );
                Some(Err(Failed::Error(error)))
            }
            Ok(EffectEnd::Again) => None,
            Ok(EffectEnd::Unavailable) => {
                let error =
                    HandlerError::new("the database could not be reached; nothing of the effect was done");
                Some(Err(Failed::Error(error)))
            }
            // A successor of this lane has the delivery now, or the server is stopping: nobody asks any more.
            Ok(EffectEnd::Fenced) | Err(_) => std::future::pending().await,
        }
    }

    async fn events(&self, effect: &Effect) -> Result<Vec<crate::domain::event::NewEvent>, HandlerError> {
        let cause = PlatformEvent(self.delivery.event.clone());
        let mut events = Vec::with_capacity(effect.publications.len());
        for publication in &effect.publications {
            let id = EventId::new(self.shared.clock.new_uuid());
            let publication = publication.clone();
            events.push(
                self.shared
                    .caused(id, &cause, publication, &self.extension)
                    .await?,
            );
        }
        Ok(events)
    }
}

/// The writes, with their panics caught.
fn work(work: crate::extension::EffectWork) -> EffectWork {
    Box::new(move |transaction| {
        async move {
            let ended = Caught::new(async move { work(transaction).await }).await;
            ended
                .map_err(Failed::Panic)
                .and_then(|ended| ended.map_err(Failed::Error))
                .map_err(|failed| Box::new(failed) as EffectFailure)
        }
        .boxed()
    })
}

fn failed(failure: EffectFailure) -> Failed {
    match failure.downcast::<Failed>() {
        Ok(failed) => *failed,
        Err(_) => Failed::Panic("no message".to_owned()),
    }
}
