//! One call of a handler, and the result that it is for the delivery.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::time::timeout;

use super::executor::{EventExecutor, HandlerKind, NotDone};
use pointsman_domain::{
    attempt::{AttemptOutcome, AttemptResult, DeadLetterReason, Verdict},
    lane::Delivery,
    retry_schedule::RetrySchedule,
};
use pointsman_extension::{
    EventContext, EventHandler, HandlerError, HandlerOutcome, PublishError,
    engine::{self, Failure},
};
use pointsman_panics::{Caught, shortened, text_of};

/// How long after its limit a handler is given up that blocks its thread.
const GRACE: Duration = Duration::from_secs(1);

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
    Failed(HandlerFailure),
}

/// Why an attempt has failed. It holds no value of the extension's author: such a value is turned into text on the
/// author's thread and within the author's time limit, since its code may panic or block.
#[derive(Debug)]
pub(super) enum HandlerFailure {
    Error(ErrorText),
    Panic(String),
    TimedOut(Duration),
    /// The writes of its effect took too long.
    EffectTimedOut,
    /// The thread of the handler has ended while it ran.
    ThreadEnded,
}

/// A handler's error as text, with what it asks for.
#[derive(Debug)]
pub(super) struct ErrorText {
    failure: Failure,
    text: String,
}

impl ErrorText {
    /// An error of the engine, after which the delivery is tried again.
    pub(super) fn new(text: &str) -> Self {
        Self {
            failure: Failure::Retry { after: None },
            text: text.to_owned(),
        }
    }
}

impl From<HandlerError> for ErrorText {
    /// Runs code of the author. A panic of it becomes part of the text.
    fn from(error: HandlerError) -> Self {
        Self {
            failure: engine::failure_of(&error),
            text: text_of(&error),
        }
    }
}

impl From<PublishError> for ErrorText {
    fn from(error: PublishError) -> Self {
        Self::new(&error.to_string())
    }
}

impl Invocation {
    /// Never ends where the threads have stopped with the server: nothing is known of the attempt then, and its lane
    /// stops, too.
    pub(super) async fn run(self, executor: &EventExecutor) -> Handled {
        let Self {
            extension,
            handler,
            context,
            limit,
        } = self;
        let kind = HandlerKind::of(&handler);
        let call = move || {
            async move {
                let call = Caught::new(async move { handler.invoke(context).await.map_err(ErrorText::from) });
                match timeout(limit, call).await {
                    Ok(Ok(Ok(outcome))) => Handled::Done(outcome),
                    Ok(Ok(Err(text))) => Handled::Failed(HandlerFailure::Error(text)),
                    Ok(Err(panic)) => Handled::Failed(HandlerFailure::Panic(panic)),
                    Err(_) => Handled::Failed(HandlerFailure::TimedOut(limit)),
                }
            }
            .boxed_local()
        };
        match executor.run(&extension, kind, limit + GRACE, call).await {
            Ok(handled) => handled,
            Err(NotDone::Stuck) => Handled::Failed(HandlerFailure::TimedOut(limit)),
            Err(NotDone::ThreadEnded) => Handled::Failed(HandlerFailure::ThreadEnded),
            Err(NotDone::Stopped) => std::future::pending().await,
        }
    }
}

impl HandlerKind {
    fn of(handler: &EventHandler) -> Self {
        if handler.is_async() {
            Self::Asynchronous
        } else {
            Self::Synchronous
        }
    }
}

impl HandlerFailure {
    fn classify(self) -> (AttemptOutcome, Verdict, String) {
        let retry = Verdict::Retry { retry_after: None };
        match self {
            Self::Error(text) => {
                let (outcome, verdict) = match text.failure {
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
                (outcome, verdict, text.text)
            }
            Self::ThreadEnded => {
                let error = "the thread of the handler has ended while it ran".to_owned();
                (AttemptOutcome::Panic, retry, error)
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
    ended: Result<(), HandlerFailure>,
    handler: &EventHandler,
    default: &RetrySchedule,
    duration: Duration,
) -> AttemptResult {
    let (outcome, verdict, error) = match ended {
        Ok(()) => (AttemptOutcome::Delivered, Verdict::Delivered, None),
        Err(failed) => {
            let (outcome, verdict, error) = failed.classify();
            (outcome, verdict, Some(shortened(&error)))
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

/// The result where this process does not have the handler, or has no handler for the event.
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
