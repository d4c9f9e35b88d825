//! The actor of one external installation: it attempts over HTTP.

mod attempt;
mod disable;
mod target;

use std::{rc::Rc, sync::Arc, time::Duration};

use self::{attempt::attempt, disable::disable};
use super::{
    RouterSettings, Shared,
    delivery::{AttemptEnd, DeliveryActor, Means},
};

use pointsman_domain::{
    attempt::AttemptResult, event::PlatformEvent, handler_name::HandlerName, installation::InstallationView,
    lane::Delivery, timestamp::Timestamp,
};
use pointsman_http_delivery::{DeliveryTarget, Share, TransportClient};

pub(super) type ExternalDeliveryActor = DeliveryActor<ExternalMeans>;

/// Attempts go over HTTP, through connections of the installation's own.
pub(super) struct ExternalMeans {
    shared: Arc<Shared>,
    view: Arc<InstallationView>,
    target: Rc<Result<DeliveryTarget, String>>,
    /// When `target` has to be prepared anew.
    previous_secret_until: Option<Timestamp>,
    client: Rc<dyn TransportClient>,
}

impl Means for ExternalMeans {
    fn new(shared: &Arc<Shared>, view: &Arc<InstallationView>) -> Self {
        let until = target::previous_secret_until(&view.installation, shared.clock.now());
        let target = target::prepare(&view.installation, until, shared);
        Self {
            target: Rc::new(target),
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
        let (client, target) = (Rc::clone(&self.client), Rc::clone(&self.target));
        let shared = Arc::clone(&self.shared);
        let (workspace, installation) = (self.view.workspace_id(), self.view.id());
        let event = Arc::clone(&delivery.event);
        async move {
            let _permit = client.permit(Share::Installation).await;
            let attempted_at = shared.clock.wall();
            let result = attempt(&*client, &target, &event, shared.clock).await;
            if result.disable {
                disable(shared.journal.clone(), workspace, installation);
            }
            AttemptEnd { attempted_at, result }
        }
    }

    fn test(&self, event: PlatformEvent) -> impl Future<Output = AttemptResult> + 'static {
        let (client, target) = (Rc::clone(&self.client), Rc::clone(&self.target));
        let clock = self.shared.clock;
        async move {
            let _permit = client.permit(Share::Tests).await;
            attempt(&*client, &target, &event, clock).await
        }
    }
}

impl ExternalMeans {
    fn prepare_target(&mut self) {
        let installation = &self.view.installation;
        self.previous_secret_until = target::previous_secret_until(installation, self.shared.clock.now());
        let target = target::prepare(installation, self.previous_secret_until, &self.shared);
        self.target = Rc::new(target);
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
}
