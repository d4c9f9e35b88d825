//! How an in-process installation is delivered to: by calling the handlers of its extension.

use std::{sync::Arc, time::Duration};

use super::{
    invocation::{Failed, Handled, Invocation, failed, missing, result},
    publisher::AttemptPublisher,
};
use crate::{
    domain::{
        attempt::{AttemptOutcome, AttemptResult, DeliveryKind},
        event::{self, derived_id},
        handler_name::HandlerName,
        lane::Delivery,
    },
    extension::{ContextParts, EventContext, EventHandler, PlatformEvent, Registered},
    journal::InstallationView,
    router::{
        RouterSettings, Shared,
        delivery::{AttemptEnd, Means},
    },
};

/// Attempts call a handler, on threads of the extension's own.
pub(in crate::router) struct InProcessMeans {
    shared: Arc<Shared>,
    view: Arc<InstallationView>,
    extension: Arc<str>,
    /// None where the code is not in this process; then the lane is held.
    registered: Option<Arc<Registered>>,
}

impl Means for InProcessMeans {
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

    /// A handler that fails is not a service that is down: the schedule of each delivery is enough.
    fn breaker_failures(_: &RouterSettings) -> Option<u32> {
        None
    }

    fn attempt_timeout(settings: &RouterSettings) -> Duration {
        let settings = &settings.in_process;
        settings.sync_timeout.max(settings.async_timeout)
    }

    /// Where the installation is subscribed to what no handler takes, the whole extension is to answer for it.
    fn handlers_of(&self, event: &event::PlatformEvent) -> impl Iterator<Item = HandlerName> {
        let handlers: Vec<HandlerName> = self
            .registered
            .iter()
            .flat_map(|extension| extension.handlers_of(&event.event_key))
            .map(|handler| HandlerName::intern(handler.name()))
            .collect();
        let nobody = handlers.is_empty().then_some(HandlerName::WHOLE);
        handlers.into_iter().chain(nobody)
    }

    fn attempt(
        &mut self,
        delivery: &Delivery,
        generation: i64,
    ) -> impl Future<Output = AttemptEnd> + 'static {
        let handler = self
            .registered
            .as_ref()
            .and_then(|extension| extension.handler(delivery.key.handler.as_str()))
            .cloned();
        let call = Call {
            shared: Arc::clone(&self.shared),
            view: Arc::clone(&self.view),
            extension: Arc::clone(&self.extension),
            delivery: delivery.clone(),
            generation,
        };
        async move {
            let attempted_at = call.shared.clock.wall();
            let result = match handler {
                Some(handler) => call.run(handler).await,
                None => missing(&call.delivery),
            };
            AttemptEnd { attempted_at, result }
        }
    }

    /// A test event is for no handler; the API says so before it comes here.
    fn test(&self, _: event::PlatformEvent) -> impl Future<Output = AttemptResult> + 'static {
        let why = "an in-process extension takes the events of its handlers only";
        std::future::ready(failed(AttemptOutcome::NoHandler, why.to_owned()))
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
        let (schedule, clock) = (&self.shared.settings.schedule, self.shared.clock);
        result(ended, &handler, schedule, clock.elapsed(start))
    }

    async fn invoke(&self, handler: &EventHandler) -> Result<(), Failed> {
        loop {
            let invocation = Invocation {
                extension: Arc::clone(&self.extension),
                handler: handler.clone(),
                context: self.context(),
                limit: self.limit(handler),
            };
            let outcome = match invocation.run(&self.shared.executor).await {
                Handled::Done(outcome) => outcome,
                Handled::Failed(failed) => return Err(failed),
            };
            let Some(effect) = outcome.0 else { return Ok(()) };
            if let Some(ended) = self.settle_with(effect).await {
                return ended;
            }
        }
    }

    fn limit(&self, handler: &EventHandler) -> Duration {
        let settings = &self.shared.settings.in_process;
        if handler.is_async() {
            settings.async_timeout
        } else {
            settings.sync_timeout
        }
    }

    fn context(&self) -> EventContext {
        let Delivery {
            key, event, attempt, ..
        } = &self.delivery;
        let installation = self.view.id();
        // Publishes of the handler are numbered from 1.
        let deduplication_id = derived_id(event.id, installation, key.handler.as_str(), 0).uuid();
        EventContext::new(ContextParts {
            event: PlatformEvent(Arc::clone(event)),
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
