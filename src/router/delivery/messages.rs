//! What a DeliveryActor is told.

use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::AttemptEnd;
use crate::{
    journal::{self, ChangeError, SettleError, StorageUnavailable},
    router::LaneHealth,
};
use pointsman_domain::{
    attempt::AttemptResult,
    event::{NewEvent, PlatformEvent},
    installation::InstallationView,
    lane::{Delivery, DeliveryKey, RetryRow},
    seq::Seq,
    timestamp::Timestamp,
};

/// All that is due after the place asked for, up to `through`.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::router) struct Events {
    pub(in crate::router) through: Seq,
    pub(in crate::router) due: Vec<Arc<PlatformEvent>>,
}

/// A replay was inserted into the retry table.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::router) struct RetriesWait {
    pub(in crate::router) at: Timestamp,
}

/// The installation was changed; holds from the next attempt.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::router) struct ViewChanged {
    pub(in crate::router) view: Arc<InstallationView>,
}

/// Attempt this event now, outside the lane; nothing is recorded.
#[derive(Message)]
#[rtype(result = "AttemptResult")]
pub(in crate::router) struct SendTest {
    pub(in crate::router) event: NewEvent,
}

/// Start nothing more; the reply is sent or dropped when everything in flight is settled.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::router) struct Drain {
    pub(in crate::router) reply: oneshot::Sender<()>,
}

#[derive(Message)]
#[rtype(result = "LaneHealth")]
pub(in crate::router) struct GetHealth;

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Attached(pub(super) Result<journal::Attached, StorageUnavailable>);

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct RetriesRead {
    pub(super) rows: Vec<RetryRow>,
    pub(super) next: Option<Timestamp>,
}

/// The outstanding settlement is durable, or refused.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Settled(pub(super) Result<(), SettleError>);

/// The dead letter of a delivery is durable, or refused.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct LetterSettled {
    pub(super) key: DeliveryKey,
    pub(super) result: Result<(), SettleError>,
}

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct AttemptFinished {
    pub(super) delivery: Delivery,
    pub(super) end: AttemptEnd,
}

/// The installation is marked as closed.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Closed(pub(super) Result<(), ChangeError>);

/// An admin says that the service is well again.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::router) struct ResetBreaker;

/// The service has answered a test, and shown that it lives.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ServiceLives;
