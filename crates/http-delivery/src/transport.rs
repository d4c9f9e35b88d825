//! The port through which attempts leave the process.

use std::{fmt, rc::Rc, sync::Arc};

use futures_util::{FutureExt as _, future::LocalBoxFuture};
use pointsman_clock::Clock;
use pointsman_domain::{attempt::AttemptResult, event::PlatformEvent, id::InstallationId};

use crate::{
    budget::{ConnectionPermit, Share},
    client::ExternalClient,
    config::ExternalClientConfig,
    target::DeliveryTarget,
};

/// How attempts leave the process: over HTTP, or, in a simulation, as calls of functions.
pub trait Transport: fmt::Debug + Send + Sync {
    /// What the attempts of one installation go through. It stays on the thread that asked for it.
    fn client(&self, installation: InstallationId) -> Rc<dyn TransportClient>;
}

/// What the attempts of one installation go through.
pub trait TransportClient: fmt::Debug {
    /// Waits until the attempt may use a connection. Take the permit before the attempt and hold it until the attempt
    /// ends. None where attempts use no connections.
    fn permit(&self, share: Share) -> LocalBoxFuture<'_, Option<ConnectionPermit>>;

    /// Makes one attempt, which begins when it is first polled. Every end is a classified result.
    fn attempt(
        self: Rc<Self>,
        target: Rc<DeliveryTarget>,
        event: Arc<PlatformEvent>,
        clock: Clock,
    ) -> LocalBoxFuture<'static, AttemptResult>;
}

impl Transport for ExternalClientConfig {
    fn client(&self, installation: InstallationId) -> Rc<dyn TransportClient> {
        Rc::new(ExternalClient::new(self, installation))
    }
}

impl TransportClient for ExternalClient {
    fn permit(&self, share: Share) -> LocalBoxFuture<'_, Option<ConnectionPermit>> {
        self.connection_permit(share).map(Some).boxed_local()
    }

    fn attempt(
        self: Rc<Self>,
        target: Rc<DeliveryTarget>,
        event: Arc<PlatformEvent>,
        clock: Clock,
    ) -> LocalBoxFuture<'static, AttemptResult> {
        async move { ExternalClient::attempt(&self, &target, &event, clock).await }.boxed_local()
    }
}
