//! Events at which delivery actors panic.

use std::{
    collections::BTreeSet,
    rc::Rc,
    sync::{Arc, Mutex},
};

use futures_util::future::LocalBoxFuture;
use pointsman_clock::Clock;
use pointsman_domain::{
    attempt::AttemptResult,
    event::PlatformEvent,
    id::{EventId, InstallationId},
};
use pointsman_http_delivery::{ConnectionPermit, DeliveryTarget, Share, Transport, TransportClient};

static POISONOUS: Mutex<BTreeSet<EventId>> = Mutex::new(BTreeSet::new());

/// Has delivery actors panic when they attempt this event.
pub(super) fn poison(event: EventId) {
    POISONOUS.lock().unwrap().insert(event);
}

/// Attempts all events but those.
#[derive(Debug)]
pub(super) struct Poisonable<T>(pub(super) T);

impl<T: Transport> Transport for Poisonable<T> {
    fn client(&self, installation: InstallationId) -> Rc<dyn TransportClient> {
        Rc::new(PoisonableClient(self.0.client(installation)))
    }
}

#[derive(Debug)]
struct PoisonableClient(Rc<dyn TransportClient>);

impl TransportClient for PoisonableClient {
    fn permit(&self, share: Share) -> LocalBoxFuture<'_, Option<ConnectionPermit>> {
        self.0.permit(share)
    }

    /// It is the actor that calls this, before the attempt begins.
    fn attempt(
        self: Rc<Self>,
        target: Rc<DeliveryTarget>,
        event: Arc<PlatformEvent>,
        clock: Clock,
    ) -> LocalBoxFuture<'static, AttemptResult> {
        let is_poisonous = POISONOUS.lock().unwrap().contains(&event.id);
        assert!(!is_poisonous, "a test has poisoned this event");
        Rc::clone(&self.0).attempt(target, event, clock)
    }
}
