//! The delivery channel of in-process installations: it calls the handlers of the extension.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    invocation::{Handled, HandlerFailure, Invocation, failed, missing, result},
    publisher::AttemptPublisher,
};
use crate::{
    delivery::channel::{AttemptEnd, DeliveryChannel},
    settings::{HandledCall, RouterSettings},
    shared::Shared,
};
use pointsman_domain::{
    attempt::{AttemptOutcome, AttemptResult, DeliveryKind, Verdict},
    event::{self, derived_id},
    handler_name::HandlerName,
    installation::InstallationView,
    lane::Delivery,
};
use pointsman_extension::{
    EventContext, EventHandler, Registered,
    engine::{self, ContextParts},
};

/// Attempts call a handler, on threads of the extension's own.
pub struct InProcessChannel {
    shared: Arc<Shared>,
    view: Arc<InstallationView>,
    extension: Arc<str>,
    /// None where the code of the extension is not in this process. The lane is held then.
    registered: Option<Arc<Registered>>,
}

impl fmt::Debug for InProcessChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessChannel").finish_non_exhaustive()
    }
}

impl DeliveryChannel for InProcessChannel {
    fn new(shared: &Arc<Shared>, view: &Arc<InstallationView>) -> Self {
        let key = &view.installation.key;
        Self {
            registered: shared.settings.in_process.extensions.get(key).cloned(),
            shared: Arc::clone(shared),
            view: Arc::clone(view),
            extension: key.as_str().into(),
        }
    }

    fn view_changed(&mut self, view: &Arc<InstallationView>) {
        self.view = Arc::clone(view);
    }

    /// There is no breaker: unlike a service that is down, a handler that fails says nothing about other deliveries.
    fn breaker_failures(_: &RouterSettings) -> Option<u32> {
        None
    }

    fn attempt_timeout(settings: &RouterSettings) -> Duration {
        let settings = &settings.in_process;
        settings.sync_timeout.max(settings.async_timeout)
    }

    /// An event that no handler takes is one delivery to the whole extension, which fails as `NO_HANDLER`.
    fn handlers_of(&self, event: &event::PlatformEvent) -> impl Iterator<Item = (HandlerName, Duration)> {
        let settings = &self.shared.settings;
        let handlers: Vec<(HandlerName, Duration)> = self
            .registered
            .iter()
            .flat_map(|extension| extension.handlers_of(&event.event_key))
            .map(|handler| (HandlerName::intern(handler.name()), limit(settings, handler)))
            .collect();
        let nobody = handlers
            .is_empty()
            .then(|| (HandlerName::WHOLE, Self::attempt_timeout(settings)));
        handlers.into_iter().chain(nobody)
    }

    fn attempt(
        &mut self,
        delivery: &Delivery,
        generation: i64,
    ) -> impl Future<Output = AttemptEnd> + 'static {
        let (handlers, delivery) = (self.handlers_for(delivery), delivery.clone());
        let calls: Vec<(EventHandler, Call)> = handlers
            .into_iter()
            .map(|handler| (handler.clone(), self.call(&delivery, &handler, generation)))
            .collect();
        let clock = self.shared.clock;
        async move {
            let attempted_at = clock.wall();
            let mut result = missing(&delivery);
            for (handler, call) in calls {
                result = call.run(handler).await;
                if result.verdict != Verdict::Delivered {
                    break;
                }
            }
            AttemptEnd { attempted_at, result }
        }
    }

    /// No handler takes a test event. The API refuses the request before it comes here.
    fn test(&self, _: event::PlatformEvent) -> impl Future<Output = AttemptResult> + 'static {
        let why = "an in-process extension takes the events of its handlers only";
        std::future::ready(failed(AttemptOutcome::NoHandler, why.to_owned()))
    }
}

impl InProcessChannel {
    /// The handlers that the delivery is for. A delivery to the whole extension found no handler when its event was
    /// read; it is replayed to all handlers that take the event by now, one after the other.
    fn handlers_for(&self, delivery: &Delivery) -> Vec<EventHandler> {
        let Some(extension) = &self.registered else {
            return Vec::new();
        };
        if delivery.key.handler.is_whole() {
            return extension
                .handlers_of(&delivery.event.event_key)
                .cloned()
                .collect();
        }
        let handler = extension.handler(delivery.key.handler.as_str());
        handler.cloned().into_iter().collect()
    }

    fn call(&self, delivery: &Delivery, handler: &EventHandler, generation: i64) -> Call {
        let mut delivery = delivery.clone();
        if delivery.key.handler.is_whole() {
            delivery.key.handler = HandlerName::intern(handler.name());
            // The replay has ended only when all handlers have handled it, not with this one.
            delivery.dead_letter_id = None;
        }
        Call {
            shared: Arc::clone(&self.shared),
            view: Arc::clone(&self.view),
            extension: Arc::clone(&self.extension),
            delivery,
            generation,
        }
    }
}

/// One attempt.
pub(super) struct Call {
    pub(super) shared: Arc<Shared>,
    pub(super) view: Arc<InstallationView>,
    pub(super) extension: Arc<str>,
    pub(super) delivery: Delivery,
    /// The lane's licence to settle.
    pub(super) generation: i64,
}

impl Call {
    async fn run(self, handler: EventHandler) -> AttemptResult {
        let start = self.shared.clock.instant();
        let ended = self.invoke(&handler).await;
        if let (Ok(()), Some(watch)) = (&ended, &self.shared.settings.in_process.watch) {
            (watch.0)(HandledCall {
                extension: &self.extension,
                handler: handler.name(),
                event: &engine::shown(Arc::clone(&self.delivery.event)),
                attempt: self.delivery.attempt,
            });
        }
        let (schedule, clock) = (&self.shared.settings.schedule, self.shared.clock);
        result(ended, &handler, schedule, clock.elapsed(start))
    }

    async fn invoke(&self, handler: &EventHandler) -> Result<(), HandlerFailure> {
        loop {
            let invocation = Invocation {
                extension: Arc::clone(&self.extension),
                handler: handler.clone(),
                context: self.context(),
                limit: limit(&self.shared.settings, handler),
            };
            let outcome = match invocation.run(&self.shared.executor).await {
                Handled::Done(outcome) => outcome,
                Handled::Failed(failed) => return Err(failed),
            };
            let Some(effect) = engine::effect_of(outcome) else {
                return Ok(());
            };
            if let Some(ended) = self.settle_with(effect).await {
                return ended;
            }
        }
    }

    fn context(&self) -> EventContext {
        let Delivery {
            key, event, attempt, ..
        } = &self.delivery;
        let installation = self.view.id();
        // Number 0: the publishes of the handler are numbered from 1.
        let deduplication_id = derived_id(event.id, installation, key.handler.as_str(), 0).uuid();
        engine::context(ContextParts {
            event: engine::shown(Arc::clone(event)),
            installation,
            deduplication_id,
            attempt: *attempt,
            is_replay: key.kind == DeliveryKind::Replay,
            publish: Arc::new(AttemptPublisher::new(
                Arc::clone(&self.shared),
                installation,
                Arc::clone(&self.extension),
                key.handler,
            )),
        })
    }
}

/// The longest time that the handler may take.
fn limit(settings: &RouterSettings, handler: &EventHandler) -> Duration {
    if handler.is_async() {
        settings.in_process.async_timeout
    } else {
        settings.in_process.sync_timeout
    }
}
