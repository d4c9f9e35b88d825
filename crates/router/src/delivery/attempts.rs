//! Attempts of a lane's deliveries.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use actix::prelude::*;
use futures_util::FutureExt;

use super::{
    DeliveryActor,
    channel::{AttemptEnd, DeliveryChannel},
    messages::{AttemptFinished, ServiceLives},
    running_attempt::RunningAttempt,
};
use crate::mail::delivery::SendTest;
use pointsman_clock::Clock;
use pointsman_domain::{
    attempt::{AttemptOutcome, AttemptResult, Verdict},
    event::PlatformEvent,
    lane::{Delivery, DeliveryKey, Input},
    seq::Seq,
    timestamp::Timestamp,
};
use pointsman_journal::AttemptRecord;
use pointsman_panics::discard;

/// Tells the lane how an attempt has ended. Where the task of the attempt ends without a result, by a panic that was
/// caught nowhere else or with its thread, the lane is told that the attempt has failed: a lane that does not hear of
/// an end keeps the slot for ever, and an ordered lane stops.
struct Reported<C: DeliveryChannel> {
    own: Addr<DeliveryActor<C>>,
    /// None once it is told.
    delivery: Option<Delivery>,
    clock: Clock,
    attempted_at: Timestamp,
    start: Instant,
}

impl<C: DeliveryChannel> Reported<C> {
    fn end(mut self, end: AttemptEnd) {
        self.tell(end);
    }

    fn tell(&mut self, end: AttemptEnd) {
        if let Some(delivery) = self.delivery.take() {
            self.own.do_send(AttemptFinished { delivery, end });
        }
    }
}

impl<C: DeliveryChannel> Drop for Reported<C> {
    /// Runs while a panic unwinds, too: nothing here can panic. The message is lost where the actor is gone.
    fn drop(&mut self) {
        if self.delivery.is_some() {
            self.tell(AttemptEnd {
                attempted_at: self.attempted_at,
                result: AttemptResult {
                    duration: self.clock.elapsed(self.start),
                    ..without_end("the attempt ended without a result")
                },
            });
        }
    }
}

fn without_end(error: &str) -> AttemptResult {
    AttemptResult {
        outcome: AttemptOutcome::Panic,
        verdict: Verdict::Retry { retry_after: None },
        http_status: None,
        duration: Duration::ZERO,
        error: Some(error.to_owned()),
        response: None,
        disable: false,
        retry_schedule: None,
    }
}

/// The result of a test; a test that panics has failed.
async fn tested(test: impl Future<Output = AttemptResult>) -> AttemptResult {
    let tested = AssertUnwindSafe(test).catch_unwind().await;
    tested.unwrap_or_else(|thrown| {
        discard(thrown);
        without_end("the attempt panicked")
    })
}

impl<C: DeliveryChannel> DeliveryActor<C> {
    /// Runs beside the actor as a task of its own. As a future of the actor it would be polled at each wake-up of the
    /// actor, so that each attempt would cost as much as all that are in flight.
    pub(super) fn start_attempt(&mut self, delivery: Delivery, ctx: &mut Context<Self>) {
        let key = delivery.key;
        let attempt = self.channel.attempt(&delivery, self.generation);
        let clock = self.shared.clock;
        let reported = Reported {
            own: ctx.address(),
            delivery: Some(delivery),
            clock,
            attempted_at: clock.wall(),
            start: clock.instant(),
        };
        let task = actix::spawn(async move { reported.end(attempt.await) });
        self.running.insert(key, RunningAttempt(task));
    }

    /// The publisher of the event does not wait for this delivery any longer.
    pub(super) fn release_publisher(&self, event: &PlatformEvent, key: DeliveryKey) {
        if let Some(latch) = &event.latch {
            latch.arrive((self.installation_id(), key.handler));
        }
    }

    pub(super) fn finish_attempt(&mut self, finished: AttemptFinished, ctx: &mut Context<Self>) {
        let AttemptFinished { delivery, end } = finished;
        let AttemptEnd { attempted_at, result } = end;
        let mut result = result.storable();
        if self
            .lane
            .as_ref()
            .is_some_and(|lane| lane.is_erased(delivery.key))
        {
            // The answer may quote the payload.
            (result.error, result.response) = (None, None);
        }
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

impl<C: DeliveryChannel> Handler<SendTest> for DeliveryActor<C> {
    type Result = ResponseFuture<AttemptResult>;

    /// Detached on purpose: a test does not wait for the lane, nor the lane for the test. Where its result shows that
    /// the service is up, the breaker is closed before the result is returned.
    fn handle(&mut self, test: SendTest, ctx: &mut Self::Context) -> Self::Result {
        self.idleness.touch();
        let event = PlatformEvent::record(self.workspace_id(), Seq::ZERO, test.event);
        let (test, own) = (tested(self.channel.test(event)), ctx.address());
        Box::pin(async move {
            let result = test.await;
            if result.shows_life() {
                // Where the actor is gone, its open breaker is gone, too.
                let _ = own.send(ServiceLives).await;
            }
            result
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_test_that_panics_is_answered() {
        let result = tested(async { std::panic::resume_unwind(Box::new("silently")) }).await;
        assert_eq!(result.outcome, AttemptOutcome::Panic);
        assert_eq!(result.error.as_deref(), Some("the attempt panicked"));
    }
}
