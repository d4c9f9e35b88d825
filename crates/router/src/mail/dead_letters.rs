//! The messages of the DeadLetterActor, and its address.

use std::{any::Any, sync::Arc};

use actix::prelude::*;
use pointsman_domain::{
    id::{DeadLetterId, InstallationId, WorkspaceId},
    lane::LetterChange,
};
use pointsman_journal::{AttemptRecord, ChangeError, SettleError};
use tokio::sync::oneshot;

use super::Accepts;

/// A lane has given up a delivery, or delivered a replay. Answered when it is durable.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ChangeLetter {
    pub(crate) workspace_id: WorkspaceId,
    pub(crate) installation_id: InstallationId,
    pub(crate) generation: i64,
    pub(crate) extension_key: Arc<str>,
    pub(crate) change: LetterChange,
    pub(crate) attempts: Vec<AttemptRecord>,
    pub(crate) reply: oneshot::Sender<Result<(), SettleError>>,
}

/// Deliver the letter's copy of the event once more, to the installation that failed it or to another one
/// of the same extension.
#[derive(Message)]
#[rtype(result = "Result<(), ChangeError>")]
pub(crate) struct Replay {
    pub(crate) workspace_id: WorkspaceId,
    pub(crate) letter: DeadLetterId,
    pub(crate) to: Option<InstallationId>,
}

/// Mark the letter `DISCARDED`; its event is not delivered.
#[derive(Message)]
#[rtype(result = "Result<(), ChangeError>")]
pub(crate) struct Discard {
    pub(crate) workspace_id: WorkspaceId,
    pub(crate) letter: DeadLetterId,
}

/// An address that accepts these messages.
pub(crate) trait DeadLetterRecipient:
    Accepts<ChangeLetter> + Accepts<Replay> + Accepts<Discard> + Any
{
    fn connected(&self) -> bool;
}

impl<A: Actor> DeadLetterRecipient for Addr<A>
where
    Addr<A>: Accepts<ChangeLetter> + Accepts<Replay> + Accepts<Discard>,
{
    fn connected(&self) -> bool {
        Addr::connected(self)
    }
}

/// The address of the DeadLetterActor.
pub(crate) type DeadLetterAddress = Arc<dyn DeadLetterRecipient>;
