//! One call of a handler, and what it means for the delivery.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::time::timeout;

use super::{
    executor::{EventExecutor, NotDone, Running},
    panics::Caught,
};
use crate::{
    domain::{
        attempt::{AttemptOutcome, AttemptResult, DeadLetterReason, Verdict},
        lane::Delivery,
        retry_schedule::RetrySchedule,
    },
    extension::{EventContext, EventHandler, Failure, HandlerError, HandlerOutcome},
};

/// Until a handler is given up that does not let its thread go when its time is over.
const GRACE: Duration = Duration::from_secs(1);
/// What is kept of an error, in bytes.
const MAX_ERROR_BYTES: usize = 2048;

/// A handler and what it is called with.
pub(super) struct Invocation {
    pub(super) extension: Arc<str>,
    pub(super) handler: EventHandler,
    pub(super) context: EventContext,
    pub(super) limit: Duration,
}

/// How the call ended.
#[derive(Debug)]
pub(super) enum Handled {
    Done(HandlerOutcome),
    Failed(Failed),
}

/// Why an attempt has failed.
#[derive(Debug)]
pub(super) enum Failed {
    Error(HandlerError),
    Panic(String),
    TimedOut(Duration),
    /// The writes of its effect took too long.
    EffectTimedOut,
}

impl Invocation {
    /// Never ends where the threads have stopped with the server: nothing is known of the attempt then.
    pub(super) async fn run(self, executor: &EventExecutor) -> Handled {
        let Self {
            extension,
            handler,
            context,
            limit,
        } = self;
        let running = Running::of(&handler);
        let call = move || {
            async move {
                let call = Caught::new(async move { handler.invoke(context).await });
                match timeout(limit, call).await {
                    Ok(Ok(Ok(outcome))) => Handled::Done(outcome),
                    Ok(Ok(Err(error))) => Handled::Failed(Failed::Error(error)),
                    Ok(Err(panic)) => Handled::Failed(Failed::Panic(panic)),
                    Err(_) => Handled::Failed(Failed::TimedOut(limit)),
                }
            }
            .boxed_local()
        };
        match executor.run(&extension, running, limit + GRACE, call).await {
            Ok(handled) => handled,
            Err(NotDone::Stuck) => Handled::Failed(Failed::TimedOut(limit)),
            Err(NotDone::Stopped) => std::future::pending().await,
        }
    }
}

impl Running {
    fn of(handler: &EventHandler) -> Self {
        if handler.is_async() {
            Self::Asynchronous
        } else {
            Self::Synchronous
        }
    }
}

impl Failed {
    fn classify(self) -> (AttemptOutcome, Verdict, String) {
        let retry = Verdict::Retry { retry_after: None };
        match self {
            Self::Error(error) => {
                let (outcome, verdict) = match error.failure() {
                    Failure::Retry { after } => (
                        AttemptOutcome::HandlerError,
                        Verdict::Retry { retry_after: after },
                    ),
                    Failure::Permanent => {
                        let reason = DeadLetterReason::Permanent;
                        (AttemptOutcome::HandlerError, Verdict::GiveUp(reason))
                    }
                    Failure::InvalidPayload => {
                        let reason = DeadLetterReason::InvalidPayload;
                        (AttemptOutcome::InvalidPayload, Verdict::GiveUp(reason))
                    }
                };
                (outcome, verdict, error.to_string())
            }
            Self::Panic(panic) => (AttemptOutcome::Panic, retry, format!("panicked: {panic}")),
            Self::EffectTimedOut => {
                let error = "the effect took longer than in_process.effect_timeout".to_owned();
                (AttemptOutcome::Timeout, retry, error)
            }
            Self::TimedOut(limit) => {
                let error = format!("the handler did not finish within {} ms", limit.as_millis());
                (AttemptOutcome::Timeout, retry, error)
            }
        }
    }
}

/// The result of an attempt.
pub(super) fn result(
    ended: Result<(), Failed>,
    handler: &EventHandler,
    default: &RetrySchedule,
    duration: Duration,
) -> AttemptResult {
    let (outcome, verdict, error) = match ended {
        Ok(()) => (AttemptOutcome::Delivered, Verdict::Delivered, None),
        Err(failed) => {
            let (outcome, verdict, error) = failed.classify();
            (outcome, verdict, Some(shortened(error)))
        }
    };
    AttemptResult {
        outcome,
        verdict,
        http_status: None,
        duration,
        error,
        response: None,
        disable: false,
        retry_schedule: handler.schedule(default).map(Arc::new),
    }
}

/// There is no such handler in this process, or none at all for the event.
pub(super) fn missing(delivery: &Delivery) -> AttemptResult {
    let (handler, key) = (delivery.key.handler, &delivery.event.event_key);
    let error = if handler.is_whole() {
        format!("no handler of the extension takes {key}")
    } else {
        format!("the extension has no handler {handler} any more")
    };
    AttemptResult {
        verdict: Verdict::GiveUp(DeadLetterReason::NoHandler),
        ..failed(AttemptOutcome::NoHandler, error)
    }
}

pub(super) fn failed(outcome: AttemptOutcome, error: String) -> AttemptResult {
    AttemptResult {
        outcome,
        verdict: Verdict::Retry { retry_after: None },
        http_status: None,
        duration: Duration::ZERO,
        error: Some(error),
        response: None,
        disable: false,
        retry_schedule: None,
    }
}

/// Cut at a character's border.
fn shortened(mut error: String) -> String {
    if error.len() > MAX_ERROR_BYTES {
        let end = (0..=MAX_ERROR_BYTES).rfind(|end| error.is_char_boundary(*end));
        error.truncate(end.unwrap_or(0));
        error.push('…');
    }
    error
}
