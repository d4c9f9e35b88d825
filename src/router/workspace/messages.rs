//! What a WorkspaceActor is told.

use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::{
    domain::{
        event::{NewEvent, PlatformEvent},
        id::InstallationId,
        idempotency::{Idempotency, Recorded},
        seq::Seq,
        timestamp::Timestamp,
    },
    journal::{AppendError, InstallationView, Permit},
    router::external_delivery::ExternalDeliveryActor,
};

/// Record these events and answer their publisher.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::router) struct Publish {
    pub(in crate::router) events: Vec<NewEvent>,
    pub(in crate::router) idempotency: Option<Idempotency>,
    pub(in crate::router) reply: oneshot::Sender<Result<Recorded, AppendError>>,
    pub(in crate::router) permit: Permit,
}

/// The head of the workspace is now `head`; `events` are the latest, in order.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::router) struct Committed {
    pub(in crate::router) head: Seq,
    pub(in crate::router) events: Vec<Arc<PlatformEvent>>,
}

/// An admin has changed an installation.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::router) struct InstallationChanged {
    pub(in crate::router) view: Box<InstallationView>,
}

/// A replay waits in the retry table.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::router) struct RetriesAdded {
    pub(in crate::router) installation_id: InstallationId,
    pub(in crate::router) at: Timestamp,
}

/// The journal has a new connection and may have committed changes without telling.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::router) struct Reload;

/// A lane asks for what is due to it after `after`. It is answered once there is something: with at most
/// `limit` due events, or with the news that a stretch of the log held none.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::router) struct ReadAfter {
    pub(in crate::router) installation_id: InstallationId,
    pub(in crate::router) child: Addr<ExternalDeliveryActor>,
    pub(in crate::router) after: Seq,
    pub(in crate::router) limit: usize,
}

/// A delivery actor has ended.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::router) struct ChildStopped {
    pub(in crate::router) installation_id: InstallationId,
    pub(in crate::router) end: ChildEnd,
}

/// Why a delivery actor has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::router) enum ChildEnd {
    /// It panicked, or what it had settled was refused: a successor starts from what is durable.
    Failed,
    /// The installation is uninstalled and everything that was due is settled.
    Closed,
    /// It was drained, or its parent is gone.
    Retired,
}

/// The actor of an installation, started where there is none yet.
#[derive(Message)]
#[rtype(result = "Option<Addr<ExternalDeliveryActor>>")]
pub(in crate::router) struct FindChild {
    pub(in crate::router) installation_id: InstallationId,
    pub(in crate::router) start: bool,
}

/// Start nothing more, and answer when everything in flight is settled and durable.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::router) struct DrainWorkspace;
