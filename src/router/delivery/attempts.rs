//! Attempts of a lane's deliveries.

use actix::prelude::*;

use super::{
    AttemptEnd, DeliveryActor, Means,
    messages::{AttemptFinished, SendTest, ServiceLives},
};
use crate::{
    domain::{
        attempt::{AttemptOutcome, AttemptResult},
        event::PlatformEvent,
        lane::{Delivery, DeliveryKey, Input},
        seq::Seq,
    },
    journal::AttemptRecord,
};

/// The task of an attempt; it ends when this is dropped.
pub(super) struct RunningAttempt(tokio::task::JoinHandle<()>);

impl Drop for RunningAttempt {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<M: Means> DeliveryActor<M> {
    /// Runs beside the actor as a task of its own: the actor's own futures are all polled at each of its
    /// wake-ups, which would cost each attempt the price of all.
    pub(super) fn start_attempt(&mut self, delivery: Delivery, ctx: &mut Context<Self>) {
        let key = delivery.key;
        let attempt = self.means.attempt(&delivery, self.generation);
        let own = ctx.address();
        let task = actix::spawn(async move {
            let end = attempt.await;
            own.do_send(AttemptFinished { delivery, end });
        });
        self.running.insert(key, RunningAttempt(task));
    }

    /// The publisher of the event need not wait for this delivery any longer.
    pub(super) fn release_publisher(&self, event: &PlatformEvent, key: DeliveryKey) {
        if let Some(latch) = &event.latch {
            latch.arrive((self.installation_id(), key.handler));
        }
    }

    pub(super) fn finish_attempt(&mut self, finished: AttemptFinished, ctx: &mut Context<Self>) {
        let AttemptFinished { delivery, end } = finished;
        let AttemptEnd { attempted_at, result } = end;
        let result = result.storable();
        self.running.remove(&delivery.key);
        self.release_publisher(&delivery.event, delivery.key);
        match result.outcome {
            AttemptOutcome::Delivered => self.health.last_success_at = Some(attempted_at),
            _ => self.health.last_failure_at = Some(attempted_at),
        }
        self.history.push(AttemptRecord {
            id: self.shared.clock.new_uuid(),
            workspace_id: self.workspace_id(),
            installation_id: self.installation_id(),
            event_id: delivery.event.id,
            handler: delivery.key.handler,
            kind: delivery.key.kind,
            number: delivery.attempt,
            outcome: result.outcome,
            http_status: result.http_status,
            duration_ms: i64::try_from(result.duration.as_millis()).unwrap_or(i64::MAX),
            error: result.error.clone(),
            response: result.response.clone(),
            attempted_at,
        });
        self.step(
            Input::AttemptFinished {
                key: delivery.key,
                result,
            },
            ctx,
        );
    }
}

impl<M: Means> Handler<SendTest> for DeliveryActor<M> {
    type Result = ResponseFuture<AttemptResult>;

    /// Detached on purpose: a test does not wait for the lane, nor the lane for it. Where its answer shows that
    /// the service lives, the breaker is closed by the time that the asker hears of it.
    fn handle(&mut self, test: SendTest, ctx: &mut Self::Context) -> Self::Result {
        self.idling.touch();
        let event = PlatformEvent::record(self.workspace_id(), Seq::ZERO, test.event);
        let (test, own) = (self.means.test(event), ctx.address());
        Box::pin(async move {
            let result = test.await;
            if result.shows_life() {
                // An actor that is gone has no breaker that is open.
                let _ = own.send(ServiceLives).await;
            }
            result
        })
    }
}
