//! The slow effect whose work runs beside the writer, on a connection of its own.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::sync::oneshot;

use crate::{
    effects::{EffectEnd, EffectWork, StagedEffect},
    storage::{PreparedEffect, SlowEffects},
};
use pointsman_clock::Clock;

/// What the work has led to: a transaction that can be committed, or the end of the effect.
pub(super) type Worked = Result<Box<dyn PreparedEffect>, EffectEnd>;

pub(super) struct RunningEffect {
    effect: StagedEffect,
    answer: oneshot::Receiver<(Worked, Duration)>,
    /// The answer, once it is there, and how long the work took.
    worked: Option<(Worked, Duration)>,
}

impl RunningEffect {
    /// Starts the work in a task of its own.
    pub(super) fn start(
        session: Arc<dyn SlowEffects>,
        effect: StagedEffect,
        work: EffectWork,
        clock: Clock,
    ) -> Self {
        let (done, answer) = oneshot::channel();
        let start = clock.instant();
        tokio::spawn(async move {
            let worked = session.prepare(work).await;
            // Where nobody waits any more, dropping the prepared transaction rolls it back.
            done.send((worked, clock.elapsed(start)))
        });
        Self {
            effect,
            answer,
            worked: None,
        }
    }

    /// Waits until the work is done. Cancelling it loses nothing.
    pub(super) async fn answer(&mut self) {
        if self.worked.is_none() {
            let answer = (&mut self.answer).await;
            self.worked = Some(answer.unwrap_or((Err(EffectEnd::Unavailable), Duration::ZERO)));
        }
    }

    /// Whether the work is done.
    pub(super) fn is_done(&mut self) -> bool {
        self.answer().now_or_never().is_some()
    }

    /// The effect and what its work has led to; none where the work is not done.
    pub(super) fn into_worked(self) -> Option<(StagedEffect, Worked)> {
        let (worked, took) = self.worked?;
        let effect = StagedEffect { took, ..self.effect };
        Some((effect, worked))
    }

    /// Answers that nothing was done. Its transaction is rolled back.
    pub(super) fn give_up(self) {
        self.effect.answer(EffectEnd::Unavailable);
    }
}
