//! The slow effect that is worked on beside the writer.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::{
    effects::{EffectEnd, StagedEffect},
    storage::PreparedEffect,
};

pub(super) type Worked = Result<Box<dyn PreparedEffect>, EffectEnd>;

/// An effect that is worked on beside the writer.
pub(super) struct EffectAside {
    pub(super) effect: StagedEffect,
    pub(super) answer: oneshot::Receiver<(Worked, Duration)>,
    /// The answer, once it is there, and how long the work took.
    pub(super) worked: Option<(Worked, Duration)>,
}

impl EffectAside {
    /// Waits until there is one whose work is done.
    pub(super) async fn worked(aside: Option<&mut Self>) {
        match aside {
            Some(aside) => aside.answer().await,
            None => std::future::pending().await,
        }
    }

    pub(super) async fn answer(&mut self) {
        if self.worked.is_none() {
            let answer = (&mut self.answer).await;
            self.worked = Some(answer.unwrap_or((Err(EffectEnd::Unavailable), Duration::ZERO)));
        }
    }

    /// Nothing of it will be left.
    pub(super) fn give_up(self) {
        self.effect.answer(EffectEnd::Unavailable);
    }
}
