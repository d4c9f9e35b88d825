//! The messages that a DeliveryActor sends to itself.

use actix::prelude::*;
use pointsman_domain::{
    lane::{Delivery, DeliveryKey, RetryRow},
    timestamp::Timestamp,
};
use pointsman_journal::{ChangeError, SettleError, StorageUnavailable};

use super::channel::AttemptEnd;

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Attached(pub(super) Result<pointsman_journal::Attached, StorageUnavailable>);

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct RetriesRead {
    pub(super) rows: Vec<RetryRow>,
    pub(super) next: Option<Timestamp>,
}

/// The outstanding settlement is durable, or was refused.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct SettlementWritten(pub(super) Result<(), SettleError>);

/// The dead letter of a delivery is durable, or was refused.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct LetterWritten {
    pub(super) key: DeliveryKey,
    pub(super) result: Result<(), SettleError>,
}

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct AttemptFinished {
    pub(super) delivery: Delivery,
    pub(super) end: AttemptEnd,
}

/// The installation is marked as closed, or could not be.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct InstallationClosed(pub(super) Result<(), ChangeError>);

/// The service has answered a test, which shows that it is up.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ServiceLives;
