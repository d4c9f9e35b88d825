//! A slow effect whose work goes on beside the writer, and its end.

use futures_util::FutureExt;
use tokio::{sync::oneshot, time::timeout};

use super::{Writer, bounds::TRANSACTION_TIMEOUT, slow_effect::EffectAside};
use crate::{
    effects::{Beside, EffectEnd, StagedEffect},
    storage::{FinishedEffect, PreparedEffect},
};

impl Writer {
    /// Whether slow effects can be run beside this writer.
    pub(super) fn beside(&self) -> Beside {
        match self.connection.as_ref().and_then(|connection| connection.aside()) {
            None => Beside::Never,
            Some(_) if self.aside.is_some() => Beside::Busy,
            Some(_) => Beside::Free,
        }
    }

    /// Starts the next slow effect, unless one is under way.
    pub(super) fn start_aside(&mut self) {
        let connection = self.connection.as_ref().filter(|_| self.aside.is_none());
        let Some(aside) = connection.and_then(|connection| connection.aside()) else {
            return;
        };
        while let Some(mut effect) = self.gathered.effects.next_beside() {
            let Some(work) = effect.command.work.take() else {
                continue;
            };
            if self.is_fenced(&effect) {
                effect.answer(EffectEnd::Fenced);
                continue;
            }
            let (done, answer) = oneshot::channel();
            // What it has prepared is rolled back where nobody waits for it any more.
            let (clock, start) = (self.clock, self.clock.instant());
            tokio::spawn(async move {
                let worked = aside.prepare(work).await;
                done.send((worked, clock.elapsed(start)))
            });
            self.aside = Some(EffectAside {
                effect,
                answer,
                worked: None,
            });
            return;
        }
    }

    /// Ends the one that was worked on, if it has come so far.
    pub(super) async fn finish_aside(&mut self) {
        let Some(aside) = &mut self.aside else { return };
        if aside.answer().now_or_never().is_none() {
            return;
        }
        let Some(EffectAside {
            mut effect,
            worked: Some((worked, took)),
            ..
        }) = self.aside.take()
        else {
            return;
        };
        effect.took = took;
        match worked {
            Err(end) => self.effect_ended(effect, end),
            Ok(_) if self.is_fenced(&effect) => self.effect_ended(effect, EffectEnd::Fenced),
            Ok(prepared) => self.finish_prepared(effect, prepared).await,
        }
    }

    async fn finish_prepared(&mut self, mut effect: StagedEffect, prepared: Box<dyn PreparedEffect>) {
        let workspace = effect.command.workspace_id;
        let Some(connection) = self.connection.clone() else {
            return self.effect_ended(effect, EffectEnd::Unavailable);
        };
        // The answer of this connection is the proof that the claim is still ours: whoever takes it from now on
        // waits for the end of the other connection.
        let head = match timeout(TRANSACTION_TIMEOUT, connection.head(workspace)).await {
            Ok(Ok(head)) => head,
            Ok(Err(_)) | Err(_) => {
                self.effect_ended(effect, EffectEnd::Unavailable);
                return self.lose_connection("reading the head of a log failed");
            }
        };
        let finish = prepared.finish(&mut effect, head, self.clock);
        match timeout(TRANSACTION_TIMEOUT, finish).await {
            Ok(FinishedEffect::Ended(end)) => self.effect_ended(effect, end),
            Ok(FinishedEffect::InDoubt) | Err(_) => {
                let event_ids = effect.command.events.iter().map(|event| event.id).collect();
                effect.end = Some(EffectEnd::Committed { event_ids });
                self.unresolved_effects.push(effect);
                self.lose_connection("nobody knows whether a slow effect was committed");
            }
        }
    }

    fn effect_ended(&mut self, mut effect: StagedEffect, end: EffectEnd) {
        let heads = effect.events.last().map(|last| (last.workspace_id, last.seq));
        effect.end = Some(end);
        self.effects_committed(vec![effect], heads.into_iter().collect());
    }

    /// The journal is to stop: slow effects that wait are left to the next start, and the one that is under way is
    /// ended.
    pub(super) async fn end_slow_effects(&mut self) {
        for command in self.gathered.effects.take_slow() {
            // Who asked may have gone.
            let _ = command.reply.send(EffectEnd::Unavailable);
        }
        let Some(aside) = &mut self.aside else { return };
        let answered = timeout(TRANSACTION_TIMEOUT, aside.answer()).await.is_ok();
        if answered {
            self.finish_aside().await;
        } else if let Some(aside) = self.aside.take() {
            aside.give_up();
        }
    }
}
