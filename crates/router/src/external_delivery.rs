//! The actor of one external installation: it attempts over HTTP.

mod attempt;
mod disable;
mod target;

use std::{fmt, rc::Rc, sync::Arc, time::Duration};

use futures_util::{
    FutureExt as _,
    future::{LocalBoxFuture, ready},
};

use self::{
    attempt::{caught, failed},
    disable::disable,
};
use crate::{
    delivery::{
        DeliveryActor,
        channel::{AttemptEnd, DeliveryChannel},
    },
    settings::RouterSettings,
    shared::Shared,
};

use pointsman_domain::{
    attempt::{AttemptOutcome, AttemptResult},
    event::PlatformEvent,
    handler_name::HandlerName,
    installation::InstallationView,
    lane::Delivery,
    timestamp::Timestamp,
};
use pointsman_http_delivery::{DeliveryTarget, Share, TransportClient};

pub type ExternalDeliveryActor = DeliveryActor<ExternalChannel>;

/// Attempts go over HTTP, through connections of the installation's own.
pub struct ExternalChannel {
    shared: Arc<Shared>,
    view: Arc<InstallationView>,
    /// An error says why no attempt can be made.
    target: Result<Rc<DeliveryTarget>, String>,
    /// When `target` has to be prepared anew, without the rotated secret.
    previous_secret_until: Option<Timestamp>,
    client: Rc<dyn TransportClient>,
}

impl fmt::Debug for ExternalChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalChannel").finish_non_exhaustive()
    }
}

impl DeliveryChannel for ExternalChannel {
    fn new(shared: &Arc<Shared>, view: &Arc<InstallationView>) -> Self {
        let until = target::previous_secret_until(&view.installation, shared.clock.now());
        let target = target::prepare(&view.installation, until, shared);
        Self {
            target: target.map(Rc::new),
            previous_secret_until: until,
            client: shared.settings.transport.client(view.id()),
            shared: Arc::clone(shared),
            view: Arc::clone(view),
        }
    }

    fn view_changed(&mut self, view: &Arc<InstallationView>) {
        self.view = Arc::clone(view);
        self.prepare_target();
    }

    fn breaker_failures(settings: &RouterSettings) -> Option<u32> {
        Some(settings.breaker_failures)
    }

    fn attempt_timeout(settings: &RouterSettings) -> Duration {
        settings.attempt_timeout
    }

    fn handlers_of(&self, _: &PlatformEvent) -> impl Iterator<Item = (HandlerName, Duration)> {
        std::iter::once((HandlerName::WHOLE, self.shared.settings.attempt_timeout))
    }

    fn attempt(
        &mut self,
        delivery: &Delivery,
        _generation: i64,
    ) -> impl Future<Output = AttemptEnd> + 'static {
        self.drop_previous_secret();
        let attempt = self.attempt_of(Arc::clone(&delivery.event));
        let (client, shared) = (Rc::clone(&self.client), Arc::clone(&self.shared));
        let (workspace, installation) = (self.view.workspace_id(), self.view.id());
        async move {
            let _permit = client.permit(Share::Installation).await;
            let attempted_at = shared.clock.wall();
            let result = caught(attempt).await;
            if result.disable {
                disable(shared.journal.clone(), workspace, installation);
            }
            AttemptEnd { attempted_at, result }
        }
    }

    fn test(&self, event: PlatformEvent) -> impl Future<Output = AttemptResult> + 'static {
        let attempt = self.attempt_of(Arc::new(event));
        let client = Rc::clone(&self.client);
        async move {
            let _permit = client.permit(Share::Tests).await;
            caught(attempt).await
        }
    }
}

impl ExternalChannel {
    /// An attempt, which begins when it is first polled.
    fn attempt_of(&self, event: Arc<PlatformEvent>) -> LocalBoxFuture<'static, AttemptResult> {
        match &self.target {
            Ok(target) => Rc::clone(&self.client).attempt(Rc::clone(target), event, self.shared.clock),
            Err(reason) => {
                let result = failed(AttemptOutcome::Misconfigured, reason.clone());
                ready(result).boxed_local()
            }
        }
    }

    fn prepare_target(&mut self) {
        let installation = &self.view.installation;
        self.previous_secret_until = target::previous_secret_until(installation, self.shared.clock.now());
        let target = target::prepare(installation, self.previous_secret_until, &self.shared);
        self.target = target.map(Rc::new);
    }

    /// A rotated secret signs beside the new one up to its time. From then on the target is without it.
    fn drop_previous_secret(&mut self) {
        if self
            .previous_secret_until
            .is_some_and(|until| until <= self.shared.clock.now())
        {
            self.prepare_target();
        }
    }
}
