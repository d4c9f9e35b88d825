//! The effect of a handler: its writes and events, durable together with the end of the delivery.

use futures_util::FutureExt;

use super::{
    channel::Call,
    invocation::{ErrorText, HandlerFailure},
};
use crate::publish::EffectLost;
use pointsman_domain::{event::NewEvent, id::EventId};
use pointsman_extension::{Effect, PublishError, engine};
use pointsman_journal::{EffectCommand, EffectEnd, EffectFailure, EffectOf, EffectWork};
use pointsman_panics::{Caught, Guarded};

impl Call {
    /// How the attempt ended. None where the handler is to be run again through no fault of its own.
    pub(super) async fn settle_with(&self, effect: Effect) -> Option<Result<(), HandlerFailure>> {
        let events = match self.events(&effect).await {
            Ok(events) => events,
            Err(error) => return Some(Err(HandlerFailure::Error(error.into()))),
        };
        let delivery = &self.delivery;
        let run = self.shared.run_effect(|reply| EffectCommand {
            workspace_id: self.view.workspace_id(),
            settles: Some(EffectOf {
                installation_id: self.view.id(),
                generation: self.generation,
                key: delivery.key,
                seq: delivery.event.seq,
                dead_letter_id: delivery.dead_letter_id,
            }),
            work: engine::work_of(effect).map(work),
            events,
            reply,
        });
        let failed = |text| Some(Err(HandlerFailure::Error(ErrorText::new(text))));
        match run.await {
            Ok(EffectEnd::Committed { .. } | EffectEnd::AlreadyDone) => Some(Ok(())),
            Ok(EffectEnd::Failed(failure)) => Some(Err(why_of(failure))),
            Ok(EffectEnd::Panicked) => Some(Err(HandlerFailure::Panic("the effect panicked".to_owned()))),
            Ok(EffectEnd::TimedOut) => Some(Err(HandlerFailure::EffectTimedOut)),
            Ok(EffectEnd::Refused) => {
                failed("the database refuses the effect, or an event of it; its log says why")
            }
            Ok(EffectEnd::EndedTransaction) => {
                failed("the effect ended the transaction that it is part of, and is not recorded as done")
            }
            Ok(EffectEnd::Again) => None,
            Ok(EffectEnd::Unavailable) => {
                failed("the database could not be reached; nothing of the effect was done")
            }
            // A successor of this lane has the delivery now. Whatever this lane records of it is refused, but the
            // attempt has to end.
            Ok(EffectEnd::Fenced) => failed("a newer lane has taken over"),
            Err(EffectLost::BeforeJournal) => {
                failed("the effect did not reach the journal; nothing of it was done")
            }
            Err(EffectLost::InJournal) => failed(
                "the journal has ended without saying whether the effect was done; one that was done is not repeated",
            ),
        }
    }

    async fn events(&self, effect: &Effect) -> Result<Vec<NewEvent>, PublishError> {
        let cause = engine::shown(self.delivery.event.clone());
        let publications = engine::publications_of(effect);
        let mut events = Vec::with_capacity(publications.len());
        for publication in publications {
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

/// The writes of the effect. Their panics are caught and their errors are turned into text on the thread of effects.
fn work(work: Guarded<engine::EffectWork>) -> EffectWork {
    EffectWork::new(move |transaction| {
        async move {
            let ended = Caught::new(async move {
                let ended = work.into_inner()(transaction).await;
                ended.map_err(ErrorText::from)
            });
            ended
                .await
                .map_err(HandlerFailure::Panic)
                .and_then(|ended| ended.map_err(HandlerFailure::Error))
                .map_err(EffectFailure::new)
        }
        .boxed()
    })
}

fn why_of(failure: EffectFailure) -> HandlerFailure {
    let failed = failure.downcast::<HandlerFailure>();
    failed.unwrap_or_else(|| HandlerFailure::Panic("no message".to_owned()))
}
