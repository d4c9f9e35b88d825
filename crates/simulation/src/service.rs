//! The simulated services, and the attempts at them.

use std::{rc::Rc, sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    future::{LocalBoxFuture, ready},
};
use tokio::time::sleep;

use super::{
    service_mode::ServiceMode,
    world::{State, World},
};
use pointsman_clock::Clock;
use pointsman_domain::{
    attempt::{AttemptOutcome, AttemptResult, DeadLetterReason, DeliveryKind, Verdict},
    event::PlatformEvent,
    id::{EventId, InstallationId},
};
use pointsman_http_delivery::{ConnectionPermit, DeliveryTarget, Share, Transport, TransportClient};

/// Whether a service in the mode `Choosy` fails this event.
fn is_disliked(event: EventId) -> bool {
    event.uuid().as_u128().is_multiple_of(3)
}

/// Where the events of an installation go.
pub(super) fn base_url(installation: InstallationId) -> String {
    format!("http://service.test/{installation}")
}

/// All services, as one process reaches them.
#[derive(Clone, Debug)]
pub(super) struct Services {
    world: Arc<World>,
    life: u64,
}

impl Services {
    pub(super) fn new(world: &Arc<World>) -> Self {
        Self {
            world: Arc::clone(world),
            life: world.with(|state| state.life),
        }
    }
}

impl Transport for Services {
    fn client(&self, _: InstallationId) -> Rc<dyn TransportClient> {
        Rc::new(self.clone())
    }
}

impl TransportClient for Services {
    fn permit(&self, _: Share) -> LocalBoxFuture<'_, Option<ConnectionPermit>> {
        ready(None).boxed_local()
    }

    fn attempt(
        self: Rc<Self>,
        target: Rc<DeliveryTarget>,
        event: Arc<PlatformEvent>,
        _: Clock,
    ) -> LocalBoxFuture<'static, AttemptResult> {
        async move { self.answer(&target, &event).await }.boxed_local()
    }
}

impl Services {
    async fn answer(&self, target: &DeliveryTarget, event: &PlatformEvent) -> AttemptResult {
        let installation = target
            .url()
            .path()
            .split('/')
            .nth(1)
            .and_then(|id| id.parse().ok())
            .expect("base_url puts the installation there");
        let (started, pause, end) = self.world.with(|state| {
            let kind = state.start(installation, event);
            let (pause, end) = state.answer(installation, event.id);
            (kind, pause, end)
        });
        let running = Running {
            world: Arc::clone(&self.world),
            life: self.life,
            installation,
            event: event.id,
            kind: started,
        };
        sleep(pause).await;
        running.end(pause, end)
    }
}

/// How an attempt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Delivered,
    /// The service has taken the event, and its answer is lost.
    AnswerLost,
    Failed,
    Refused,
    Busy,
    Gone,
    Aborted,
    Disabled,
    TimedOut,
    Panicked,
}

impl End {
    fn shows_life(self) -> bool {
        match self {
            Self::Delivered | Self::Refused | Self::Gone | Self::Aborted | Self::Disabled => true,
            Self::AnswerLost | Self::Failed | Self::Busy | Self::TimedOut | Self::Panicked => false,
        }
    }
}

/// An attempt under way; it may be dropped at any time.
struct Running {
    world: Arc<World>,
    life: u64,
    installation: InstallationId,
    event: EventId,
    kind: DeliveryKind,
}

impl Running {
    fn end(self, duration: Duration, end: End) -> AttemptResult {
        let (installation, event) = (self.installation, self.event);
        self.world.with(|state| {
            state
                .trace
                .record(format_args!("{installation} {event} ends: {end:?}"));
            state.witness.attempt_ended(installation, end.shows_life());
            match end {
                End::Delivered => state.witness.delivered(installation, event, self.kind),
                End::Panicked => state.witness.panics(installation),
                _ => {}
            }
        });
        if end == End::Panicked {
            // Dropped first, so that the count is right.
            drop(self);
            std::panic::resume_unwind(Box::new("the simulation asked for it"));
        }
        result(end, duration)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.world.with(|state| {
            if state.life == self.life {
                state.witness.stopped_running(self.installation);
            }
        });
    }
}

fn result(end: End, duration: Duration) -> AttemptResult {
    let retry = |retry_after| Verdict::Retry { retry_after };
    let give_up = Verdict::GiveUp;
    let (outcome, verdict, http_status) = match end {
        End::Delivered => (AttemptOutcome::Delivered, Verdict::Delivered, Some(200)),
        End::AnswerLost => (AttemptOutcome::Protocol, retry(None), None),
        End::Failed | End::Panicked => (AttemptOutcome::Http5xx, retry(None), Some(500)),
        End::Refused => (AttemptOutcome::Http4xx, retry(None), Some(422)),
        End::Busy => (
            AttemptOutcome::Http5xx,
            retry(Some(Duration::from_secs(7))),
            Some(503),
        ),
        End::Gone => (
            AttemptOutcome::Http4xx,
            give_up(DeadLetterReason::Gone),
            Some(410),
        ),
        End::Aborted | End::Disabled => (
            AttemptOutcome::Http4xx,
            give_up(DeadLetterReason::Aborted),
            Some(400),
        ),
        End::TimedOut => (AttemptOutcome::Timeout, retry(None), None),
    };
    AttemptResult {
        outcome,
        verdict,
        http_status,
        duration,
        error: (end != End::Delivered).then(|| format!("{end:?}")),
        response: None,
        disable: end == End::Disabled,
        retry_schedule: None,
    }
}

impl State {
    /// Records that an attempt begins; returns the kind of its delivery.
    fn start(&mut self, installation: InstallationId, event: &PlatformEvent) -> DeliveryKind {
        let kind = self.witness.starts(installation, event, &self.tables);
        let (id, seq) = (event.id, event.seq.get());
        self.trace
            .record(format_args!("{installation} {id} ({seq}) starts: {kind:?}"));
        kind
    }

    /// How the service will answer, and when.
    fn answer(&mut self, installation: InstallationId, event: EventId) -> (Duration, End) {
        const ODD: [End; 8] = [
            End::AnswerLost,
            End::Failed,
            End::Refused,
            End::Busy,
            End::Aborted,
            End::Disabled,
            End::TimedOut,
            End::Panicked,
        ];
        let mode = self
            .modes
            .get(&installation)
            .copied()
            .unwrap_or(ServiceMode::Well);
        let end = match mode {
            _ if self.rng.chance(self.faults.attempt) => ODD[self.rng.weighted(&[4, 8, 3, 3, 2, 1, 4, 1])],
            ServiceMode::Well => End::Delivered,
            ServiceMode::Choosy if !is_disliked(event) => End::Delivered,
            ServiceMode::Failing | ServiceMode::Choosy => End::Failed,
            ServiceMode::Refusing => End::Refused,
            ServiceMode::Hanging => End::TimedOut,
            ServiceMode::Gone => End::Gone,
        };
        let limit = self.settings.attempt_timeout;
        let pause = match end {
            End::TimedOut => limit,
            _ if self.rng.chance(50) => limit.mul_f64(0.9),
            _ => self.rng.millis(0..40),
        };
        (pause, end)
    }
}
