//! The delivery actor of an installation, as its WorkspaceActor knows it.

use actix::prelude::*;

use crate::{
    handshake::{MessagesHandled, MessagesSent},
    incarnation::Incarnation,
    mail::{
        Accepts,
        delivery::{DeliveryAddress, DeliveryRecipient, Events},
    },
};
use pointsman_domain::seq::Seq;

/// Whether an installation has an actor.
#[derive(Debug)]
pub(super) enum Child {
    /// There is nothing to do.
    Idle,
    Running(RunningChild),
    /// It died; a successor is on its way.
    Restarting,
    /// It died too often.
    Failed,
}

#[derive(Debug)]
pub(super) struct RunningChild {
    address: DeliveryAddress,
    incarnation: Incarnation,
    is_attached: bool,
    sent: MessagesSent,
    /// The seq up to which it has been given events.
    given_through: Seq,
}

impl RunningChild {
    pub(super) fn new(address: DeliveryAddress, incarnation: Incarnation) -> Self {
        Self {
            address,
            incarnation,
            is_attached: false,
            sent: MessagesSent::default(),
            given_through: Seq::ZERO,
        }
    }

    pub(super) fn address(&self) -> DeliveryAddress {
        self.address.clone()
    }

    pub(super) const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    pub(super) const fn given_through(&self) -> Seq {
        self.given_through
    }

    pub(super) const fn is_attached(&self) -> bool {
        self.is_attached
    }

    pub(super) const fn attach(&mut self) {
        self.is_attached = true;
    }

    pub(super) fn tell<M: Message>(&mut self, message: M)
    where
        dyn DeliveryRecipient: Accepts<M>,
    {
        self.sent.count();
        Accepts::tell(&*self.address, message);
    }

    /// Gives it a stretch of the log.
    pub(super) fn give(&mut self, events: Events) {
        self.given_through = self.given_through.max(events.through);
        self.tell(events);
    }

    /// Whether it has handled every message that it was sent.
    pub(super) const fn has_handled_all(&self, handled: MessagesHandled) -> bool {
        self.sent.are_all_handled(handled)
    }
}
