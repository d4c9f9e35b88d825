//! What a WorkspaceActor is told.

use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::ChildAddress;
use crate::journal::{AppendError, Permit};
use pointsman_domain::{
    event::NewEvent,
    id::InstallationId,
    idempotency::{Idempotency, Recorded},
    lane::Suspicion,
    seq::Seq,
    sync_latch::SyncLatch,
    timestamp::Timestamp,
};

/// Record these events and answer their publisher.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::router) struct Publish {
    pub(in crate::router) events: Vec<NewEvent>,
    pub(in crate::router) idempotency: Option<Idempotency>,
    pub(in crate::router) reply: oneshot::Sender<Result<Recorded, AppendError>>,
    pub(in crate::router) permit: Permit,
    /// Opens when the synchronous handlers of the event have handled it.
    pub(in crate::router) latch: Option<Arc<SyncLatch>>,
}

/// Notices of the journal wait in the directory. At most one of these is on its way to each actor.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::router) struct NewsWaits;

/// The directory has let go of this actor, which had nothing to do: stop.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::router) struct Retire;

/// Answered when the installations are read and the lanes started for them are attached.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::router) struct AwaitStart;

/// A lane asks for what is due to it after `after`. It is answered once there is something: with at most
/// `limit` due events, or with the news that a stretch of the log held none.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::router) struct ReadAfter {
    pub(in crate::router) installation_id: InstallationId,
    /// Which of the actors that the installation has had asks.
    pub(in crate::router) incarnation: u64,
    pub(in crate::router) after: Seq,
    pub(in crate::router) limit: usize,
}

/// A delivery actor is attached to the journal.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::router) struct ChildAttached {
    pub(in crate::router) installation_id: InstallationId,
    pub(in crate::router) incarnation: u64,
}

/// A delivery actor has ended.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::router) struct ChildStopped {
    pub(in crate::router) installation_id: InstallationId,
    /// Which of the actors that the installation has had.
    pub(in crate::router) incarnation: u64,
    pub(in crate::router) end: ChildEnd,
    /// What its lane says of a panic; none where it did not panic, or had no lane.
    pub(in crate::router) suspicion: Option<Suspicion>,
}

/// Why a delivery actor has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::router) enum ChildEnd {
    /// It panicked, or what it had settled was refused by the database: a successor starts from what is
    /// durable.
    Failed,
    /// Another actor's end took it along: a successor starts from what is durable.
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
pub(in crate::router) struct Rest {
    /// Up to here nothing is left to do but retries.
    pub(in crate::router) done: Seq,
    /// Where the durable cursor stands.
    pub(in crate::router) written: Seq,
    pub(in crate::router) next_retry_at: Option<Timestamp>,
    /// How many of its parent's messages it has handled: with one more on the way it has work after all.
    pub(in crate::router) heard: u64,
}

/// Find the actor of an installation.
#[derive(Message)]
#[rtype(result = "Found")]
pub(in crate::router) struct FindChild {
    pub(in crate::router) installation_id: InstallationId,
    pub(in crate::router) purpose: Purpose,
}

/// What to do for an installation that has no actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::router) enum Purpose {
    /// Nothing.
    Look,
    /// Start one, unless the installation is marked as failed.
    Start,
    /// Take that mark away and start one.
    Reset,
}

/// Answers [`FindChild`].
#[derive(Debug)]
pub(in crate::router) enum Found {
    Actor(ChildAddress),
    /// The installation is marked as failed.
    Failed,
    /// There is no such installation, or it has no actor.
    Nothing,
}

/// Start nothing more, and answer when everything in flight is settled and durable.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::router) struct DrainWorkspace;
