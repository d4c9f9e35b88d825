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

/// An address that accepts these messages.
pub(crate) trait SupervisorRecipient: Accepts<WorkspaceStopped> + Accepts<LookBy> + Any {}

impl<A: Actor> SupervisorRecipient for Addr<A> where Addr<A>: Accepts<WorkspaceStopped> + Accepts<LookBy> {}

/// The address of the RouterSupervisor.
pub(crate) type SupervisorAddress = Arc<dyn SupervisorRecipient>;
