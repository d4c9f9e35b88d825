//! The address of a delivery actor, whichever way it delivers.

use std::sync::Arc;

use actix::prelude::*;

use crate::router::{
    Shared, delivery::Origin, external_delivery::ExternalDeliveryActor, in_process::InProcessHandlerActor,
};
use pointsman_domain::installation::InstallationView;

/// One variant for each kind of delivery actor.
#[derive(Clone, Debug)]
pub(in crate::router) enum ChildAddress {
    External(Addr<ExternalDeliveryActor>),
    InProcess(Addr<InProcessHandlerActor>),
}

impl ChildAddress {
    /// Starts an actor for the installation, on the thread of its lane.
    pub(super) fn start(shared: Arc<Shared>, view: Arc<InstallationView>, origin: Origin) -> Self {
        let arbiter = shared.delivery_arbiter(view.id());
        if view.is_in_process() {
            let create = |_: &mut Context<_>| InProcessHandlerActor::new(shared, view, origin);
            Self::InProcess(InProcessHandlerActor::start_in_arbiter(&arbiter, create))
        } else {
            let create = |_: &mut Context<_>| ExternalDeliveryActor::new(shared, view, origin);
            Self::External(ExternalDeliveryActor::start_in_arbiter(&arbiter, create))
        }
    }

    /// Sends a message that every delivery actor takes. It is lost where the actor is gone.
    pub(in crate::router) fn tell<M>(&self, message: M)
    where
        M: Message + Send + 'static,
        M::Result: Send,
        ExternalDeliveryActor: Handler<M>,
        InProcessHandlerActor: Handler<M>,
    {
        match self {
            Self::External(actor) => actor.do_send(message),
            Self::InProcess(actor) => actor.do_send(message),
        }
    }

    /// Sends a message that every delivery actor takes, and waits for the answer.
    ///
    /// # Errors
    /// [`MailboxError`] where the actor is gone, or goes before it has answered.
    pub(in crate::router) async fn send<M>(&self, message: M) -> Result<M::Result, MailboxError>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        ExternalDeliveryActor: Handler<M>,
        InProcessHandlerActor: Handler<M>,
    {
        match self {
            Self::External(actor) => actor.send(message).await,
            Self::InProcess(actor) => actor.send(message).await,
        }
    }

    /// Whether the actor lives.
    #[cfg(test)]
    pub(in crate::router) fn connected(&self) -> bool {
        match self {
            Self::External(actor) => actor.connected(),
            Self::InProcess(actor) => actor.connected(),
        }
    }
}
