//! The messages that others send to a DeliveryActor, and its address.

use std::{any::Any, fmt, sync::Arc};

use actix::prelude::*;
use pointsman_domain::{
    attempt::AttemptResult,
    event::{NewEvent, PlatformEvent},
    installation::InstallationView,
    seq::Seq,
    timestamp::Timestamp,
};
use tokio::sync::oneshot;

use super::Accepts;
use crate::answers::LaneHealth;

/// All events that are due after the position that was asked for, up to `through`.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Events {
    pub(crate) through: Seq,
    pub(crate) due: Vec<Arc<PlatformEvent>>,
}

/// A replay was inserted into the retry table.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct RetriesWait {
    pub(crate) at: Timestamp,
}

/// The installation was changed. The change holds from the next attempt.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ViewChanged {
    pub(crate) view: Arc<InstallationView>,
}

/// Attempt this event now, outside the lane; nothing is recorded.
#[derive(Message)]
#[rtype(result = "AttemptResult")]
pub(crate) struct SendTest {
    pub(crate) event: NewEvent,
}

/// The payload of an event was erased: hold what is left of it. The reply is dropped once that is done.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct EraseDelivery {
    pub(crate) left: Arc<PlatformEvent>,
    pub(crate) _reply: oneshot::Sender<()>,
}

/// Start nothing more; the reply is sent or dropped when everything in flight is settled.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Drain {
    pub(crate) reply: oneshot::Sender<()>,
}

#[derive(Message)]
#[rtype(result = "LaneHealth")]
pub(crate) struct GetHealth;

/// An admin closes the breaker.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ResetBreaker;

/// An address that accepts these messages.
pub(crate) trait DeliveryRecipient:
    Accepts<Events>
    + Accepts<RetriesWait>
    + Accepts<ViewChanged>
    + Accepts<SendTest>
    + Accepts<Drain>
    + Accepts<EraseDelivery>
    + Accepts<GetHealth>
    + Accepts<ResetBreaker>
    + Any
    + fmt::Debug
{
}

impl<A> DeliveryRecipient for Addr<A>
where
    A: Actor,
    Addr<A>: Accepts<Events>
        + Accepts<RetriesWait>
        + Accepts<ViewChanged>
        + Accepts<SendTest>
        + Accepts<Drain>
        + Accepts<EraseDelivery>
        + Accepts<GetHealth>
        + Accepts<ResetBreaker>,
{
}

/// The address of a delivery actor of any delivery type.
pub(crate) type DeliveryAddress = Arc<dyn DeliveryRecipient>;
