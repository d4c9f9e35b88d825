//! The messages of the RouterSupervisor, and its address.

use std::{any::Any, sync::Arc};

use actix::prelude::*;
use pointsman_domain::{id::WorkspaceId, timestamp::Timestamp};

use super::Accepts;

/// A WorkspaceActor has died.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct WorkspaceStopped(pub(crate) WorkspaceId);

/// A workspace without an actor has something to do at that time.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct LookBy(pub(crate) Timestamp);

/// A WorkspaceActor has stopped: there is nothing to do in its workspace, or only later.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct WorkspaceLeft(pub(crate) WorkspaceId);

/// An address that accepts these messages.
pub(crate) trait SupervisorRecipient:
    Accepts<WorkspaceStopped> + Accepts<LookBy> + Accepts<WorkspaceLeft> + Any
{
}

impl<A: Actor> SupervisorRecipient for Addr<A> where
    Addr<A>: Accepts<WorkspaceStopped> + Accepts<LookBy> + Accepts<WorkspaceLeft>
{
}

/// The address of the RouterSupervisor.
pub(crate) type SupervisorAddress = Arc<dyn SupervisorRecipient>;
