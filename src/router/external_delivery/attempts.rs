//! Attempts of a lane's deliveries over HTTP.

use std::{panic::AssertUnwindSafe, rc::Rc, time::Duration};

use actix::prelude::*;
use futures_util::FutureExt;

use super::{
    ExternalDeliveryActor,
    messages::{AttemptFinished, SendTest},
};
use crate::{
    clock::Clock,
    domain::{
        attempt::{AttemptOutcome, AttemptResult, Verdict},
        event::PlatformEvent,
        installation::{InstallationChange, InstallationUpdate},
        lane::{Delivery, Input},
        seq::Seq,
    },
    journal::AttemptRecord,
    router::external::{DeliveryTarget, Transport},
};

/// The task of an attempt; it ends when this is dropped.
pub(super) struct RunningAttempt(tokio::task::JoinHandle<()>);

impl Drop for RunningAttempt {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl ExternalDeliveryActor {
    /// Runs beside the actor as a task of its own: the actor's own futures are all polled at each of its
    /// wake-ups, which would cost each attempt the price of all.
    pub(super) fn start_attempt(&mut self, delivery: Delivery, ctx: &mut Context<Self>) {
        self.drop_previous_secret();
        let key = delivery.key;
        let (transport, target) = (Rc::clone(&self.transport), Rc::clone(&self.target));
        let (clock, own) = (self.shared.clock, ctx.address());
        let task = actix::spawn(async move {
            let _turn = transport.turn().await;
            let attempted_at = clock.wall();
            let result = attempt(&transport, &target, &delivery.event, clock).await;
            own.do_send(AttemptFinished {
                delivery,
                attempted_at,
                result,
            });
        });
        self.running.insert(key, RunningAttempt(task));
    }

    /// A rotated secret signs beside the new one until its time has come.
    fn drop_previous_secret(&mut self) {
        if self
            .previous_secret_until
            .is_some_and(|until| until <= self.shared.clock.now())
        {
            self.prepare_target();
        }
    }

    pub(super) fn finish_attempt(&mut self, finished: AttemptFinished, ctx: &mut Context<Self>) {
        let AttemptFinished {
            delivery,
            attempted_at,
            result,
        } = finished;
        self.running.remove(&delivery.key);
        match result.outcome {
            AttemptOutcome::Delivered => self.health.last_success_at = Some(attempted_at),
            _ => self.health.last_failure_at = Some(attempted_at),
        }
        self.history.push(AttemptRecord {
            id: self.shared.clock.new_uuid(),
            workspace_id: self.workspace_id(),
            installation_id: self.installation_id(),
            event_id: delivery.event.id,
            kind: delivery.key.kind,
            number: delivery.attempt,
            outcome: result.outcome,
            http_status: result.http_status,
            duration_ms: i64::try_from(result.duration.as_millis()).unwrap_or(i64::MAX),
            error: result.error.clone(),
            response: result.response.clone(),
            attempted_at,
        });
        if result.disable {
            self.disable();
        }
        self.step(
            Input::AttemptFinished {
                key: delivery.key,
                result,
            },
            ctx,
        );
    }

    /// The service asked for it; the change comes back as a notice like any admin's.
    fn disable(&self) {
        let (journal, workspace, id) = (
            self.shared.journal.clone(),
            self.workspace_id(),
            self.installation_id(),
        );
        actix::spawn(async move {
            let update = InstallationUpdate {
                enabled: Some(false),
                ..InstallationUpdate::default()
            };
            let change = InstallationChange::Update(update);
            match journal.change_installation(workspace, id, change).await {
                Ok(_) => {
                    log::warn!(workspace:%, installation:% = id; "disabled at the request of the service")
                }
                Err(error) => {
                    log::error!(workspace:%, installation:% = id, error:%; "the service asked to be disabled, which failed");
                }
            }
        });
    }
}

impl Handler<SendTest> for ExternalDeliveryActor {
    type Result = ResponseFuture<AttemptResult>;

    /// Detached on purpose: a test does not wait for the lane, nor the lane for it.
    fn handle(&mut self, test: SendTest, _: &mut Self::Context) -> Self::Result {
        self.idling.touch();
        let (transport, target) = (Rc::clone(&self.transport), Rc::clone(&self.target));
        let (workspace, clock) = (self.workspace_id(), self.shared.clock);
        Box::pin(async move {
            let event = PlatformEvent::record(workspace, Seq::ZERO, test.event);
            let _turn = transport.turn_of_tests().await;
            attempt(&transport, &target, &event, clock).await
        })
    }
}

/// One attempt; a panic in it is a failed attempt.
async fn attempt(
    transport: &Transport,
    target: &Result<DeliveryTarget, String>,
    event: &PlatformEvent,
    clock: Clock,
) -> AttemptResult {
    let target = match target {
        Ok(target) => target,
        Err(reason) => return failed(AttemptOutcome::Misconfigured, reason.clone()),
    };
    let attempt = AssertUnwindSafe(transport.attempt(target, event, clock)).catch_unwind();
    attempt
        .await
        .unwrap_or_else(|_| failed(AttemptOutcome::Panic, "the attempt panicked".to_owned()))
}

fn failed(outcome: AttemptOutcome, error: String) -> AttemptResult {
    AttemptResult {
        outcome,
        verdict: Verdict::Retry { retry_after: None },
        http_status: None,
        duration: Duration::ZERO,
        error: Some(error),
        response: None,
        disable: false,
    }
}
