//! The messages of a WorkspaceActor, and its address.

use std::{any::Any, fmt, sync::Arc};

use actix::prelude::*;
use pointsman_domain::{
    event::PlatformEvent, id::InstallationId, lane::Suspicion, seq::Seq, timestamp::Timestamp,
};
use pointsman_journal::{Append, EffectCommand};

use super::{Accepts, Handover, delivery::DeliveryAddress};
use crate::{handshake::MessagesHandled, incarnation::Incarnation};

/// Record these events and answer who publishes them. The reply travels along, so that an actor that dies after it
/// has handed them on loses no answer.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) enum Publish {
    Events(Append),
    /// Work in the database, with events. The work can be run once only, so that it comes back where the actor ends
    /// before it has handed it on.
    Transaction(Handover<Box<EffectCommand>>),
}

/// Notices of the journal wait in the directory. At most one such message is on its way to each actor.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct NoticesWait;

/// The directory has let go of this actor, which had nothing to do: stop.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Retire;

/// Answered when the installations are read and the lanes started for them are attached.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AwaitStart;

/// A lane asks for the events that are due to it after `after`. It is answered with at most `limit` of them once there
/// are some, or with none where a stretch of the log held none.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ReadAfter {
    pub(crate) installation_id: InstallationId,
    /// The actor that asks.
    pub(crate) incarnation: Incarnation,
    pub(crate) after: Seq,
    pub(crate) limit: usize,
}

/// A delivery actor is attached to the journal.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ChildAttached {
    pub(crate) installation_id: InstallationId,
    pub(crate) incarnation: Incarnation,
}

/// A delivery actor has ended.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ChildStopped {
    pub(crate) installation_id: InstallationId,
    pub(crate) incarnation: Incarnation,
    pub(crate) end: ChildEnd,
    /// The events that may have made it panic; none where it did not panic or had no lane.
    pub(crate) suspicion: Option<Suspicion>,
}

/// Why a delivery actor has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChildEnd {
    /// It panicked, or the database refused its settlement. A successor starts from what is durable.
    Failed,
    /// It ended because of another actor or the journal. A successor starts from what is durable.
    Interrupted,
    /// It had nothing to do for a while.
    Idle(Rest),
    /// The installation is uninstalled and everything that was due is settled.
    Closed,
    /// It was drained, or its parent is gone.
    Drained,
}

/// Where a delivery actor stood when it stopped for want of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rest {
    /// Up to here nothing is left to do but retries.
    pub(crate) done: Seq,
    /// Where the durable cursor stands.
    pub(crate) written: Seq,
    pub(crate) next_retry_at: Option<Timestamp>,
    /// The messages of its parent that it has handled. Where the parent has sent more, there is work after all.
    pub(crate) handled: MessagesHandled,
}

/// Find the actor of an installation.
#[derive(Message)]
#[rtype(result = "Found")]
pub(crate) struct FindChild {
    pub(crate) installation_id: InstallationId,
    pub(crate) purpose: Purpose,
}

/// What to do for an installation that has no actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Nothing.
    Look,
    /// Start one, unless the installation is marked as failed.
    Start,
    /// Take the mark of a failed installation away and start one.
    Reset,
}

/// Answers [`FindChild`].
#[derive(Debug)]
pub(crate) enum Found {
    Actor(DeliveryAddress),
    /// The installation is marked as failed.
    Failed,
    /// There is no such installation, or it has no actor.
    Nothing,
}

/// Start nothing more, and answer when everything in flight is settled and durable.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct DrainWorkspace;

/// The workspace is deleted: end all deliveries, those in flight too, and answer when no delivery actor is left.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct EndDeliveries;

/// The payload of an event was erased: hold what is left of it, and answer when no delivery of it begins any more.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Erase(pub(crate) Arc<PlatformEvent>);

/// An address that accepts these messages.
pub(crate) trait WorkspaceRecipient:
    Accepts<Publish>
    + Accepts<NoticesWait>
    + Accepts<Retire>
    + Accepts<AwaitStart>
    + Accepts<ReadAfter>
    + Accepts<ChildAttached>
    + Accepts<ChildStopped>
    + Accepts<FindChild>
    + Accepts<DrainWorkspace>
    + Accepts<EndDeliveries>
    + Accepts<Erase>
    + Any
    + fmt::Debug
{
    fn connected(&self) -> bool;
}

impl<A> WorkspaceRecipient for Addr<A>
where
    A: Actor,
    Addr<A>: Accepts<Publish>
        + Accepts<NoticesWait>
        + Accepts<Retire>
        + Accepts<AwaitStart>
        + Accepts<ReadAfter>
        + Accepts<ChildAttached>
        + Accepts<ChildStopped>
        + Accepts<FindChild>
        + Accepts<DrainWorkspace>
        + Accepts<EndDeliveries>
        + Accepts<Erase>,
{
    fn connected(&self) -> bool {
        Addr::connected(self)
    }
}

/// The address of a WorkspaceActor.
pub(crate) type WorkspaceAddress = Arc<dyn WorkspaceRecipient>;
