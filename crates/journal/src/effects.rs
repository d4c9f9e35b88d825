//! What handlers want done exactly once: their own writes, the events that they publish and the end of the
//! delivery, in one transaction.
//!
//! Effects have transactions of their own, so that none of them can make an append of a publisher be written
//! twice. In each of these an effect has a savepoint of its own. What is done is marked in `ext_delivery_done`,
//! until the cursor has passed it: a lane that attaches after a crash does not attempt it again, and a batch of
//! effects whose outcome is unknown is resolved by its marks.

mod queue;

use std::{any::Any, fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use sea_orm::DatabaseTransaction;
use tokio::sync::oneshot;

pub use self::queue::SLOW;
pub(crate) use self::queue::{Beside, EffectQueue};
use pointsman_domain::{
    event::{NewEvent, PlatformEvent},
    id::{DeadLetterId, EventId, InstallationId, WorkspaceId},
    lane::DeliveryKey,
    seq::Seq,
};
use pointsman_panics::Guarded;

/// The author's error, for whoever knows its type.
#[derive(Debug)]
pub struct EffectFailure(Guarded<Box<dyn Any + Send>>);

impl EffectFailure {
    pub fn new(error: impl Any + Send) -> Self {
        Self(Guarded::new(Box::new(error)))
    }

    /// The error, where it is of this type.
    pub fn downcast<T: Any>(self) -> Option<T> {
        self.0.into_inner().downcast().map(|error| *error).ok()
    }
}

/// Writes of an effect.
#[derive(Debug)]
pub struct EffectWork(Guarded<Box<Work>>);

type Work = dyn for<'a> FnOnce(&'a DatabaseTransaction) -> BoxFuture<'a, Result<(), EffectFailure>> + Send;

impl EffectWork {
    pub fn new<F>(work: F) -> Self
    where
        F: for<'a> FnOnce(&'a DatabaseTransaction) -> BoxFuture<'a, Result<(), EffectFailure>>
            + Send
            + 'static,
    {
        Self(Guarded::new(Box::new(work)))
    }

    /// Does it.
    ///
    /// # Errors
    /// The author's own.
    pub async fn run(self, transaction: &DatabaseTransaction) -> Result<(), EffectFailure> {
        (self.0.into_inner())(transaction).await
    }
}

/// Work to be done in one transaction with events, and with the end of a delivery.
pub struct EffectCommand {
    pub workspace_id: WorkspaceId,
    /// None for work that ends no delivery.
    pub settles: Option<EffectOf>,
    pub work: Option<EffectWork>,
    pub events: Vec<NewEvent>,
    pub reply: oneshot::Sender<EffectEnd>,
}

impl fmt::Debug for EffectCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EffectCommand")
            .field("workspace_id", &self.workspace_id)
            .field("settles", &self.settles)
            .field("events", &self.events.len())
            .finish_non_exhaustive()
    }
}

/// The delivery that ends with an effect.
#[derive(Clone, Debug)]
pub struct EffectOf {
    pub installation_id: InstallationId,
    /// The lane's licence to settle.
    pub generation: i64,
    pub key: DeliveryKey,
    pub seq: Seq,
    /// The letter that is replayed; set where the kind is `REPLAY`.
    pub dead_letter_id: Option<DeadLetterId>,
}

/// What became of an effect.
pub enum EffectEnd {
    /// All of it is durable.
    Committed { event_ids: Vec<EventId> },
    /// It was durable before: nothing was done again.
    AlreadyDone,
    /// The work said no; nothing of it is left.
    Failed(EffectFailure),
    /// The work panicked; nothing of it is left.
    Panicked,
    /// The work took too long; nothing of it is left.
    TimedOut,
    /// The work ended the transaction that it is part of; nothing of it is left.
    EndedTransaction,
    /// The database refuses an event of it, or all of it at the commit; nothing of it is left.
    Refused,
    /// A newer lane has attached; nothing was done.
    Fenced,
    /// Nothing of it is left, and it is to be run again, through no fault of its own: another effect of the same
    /// transaction took it along, or it took too long for a transaction that others share.
    Again,
    /// There is no database; nothing was done.
    Unavailable,
}

impl fmt::Debug for EffectEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Committed { .. } => "Committed",
            Self::AlreadyDone => "AlreadyDone",
            Self::Failed(_) => "Failed",
            Self::Panicked => "Panicked",
            Self::TimedOut => "TimedOut",
            Self::EndedTransaction => "EndedTransaction",
            Self::Refused => "Refused",
            Self::Fenced => "Fenced",
            Self::Again => "Again",
            Self::Unavailable => "Unavailable",
        };
        f.write_str(name)
    }
}

/// An effect on its way through a transaction.
#[derive(Debug)]
pub struct StagedEffect {
    pub command: EffectCommand,
    /// Its events at their places, provided that the transaction commits.
    pub events: Vec<Arc<PlatformEvent>>,
    /// None as long as it has not been run.
    pub end: Option<EffectEnd>,
    /// It is known to take its time, and may: nobody else is in its transaction.
    pub is_slow: bool,
    pub took: Duration,
}

impl StagedEffect {
    pub(crate) fn new(command: EffectCommand, is_slow: bool) -> Self {
        Self {
            command,
            events: Vec::new(),
            end: None,
            is_slow,
            took: Duration::ZERO,
        }
    }

    pub const fn is_committed(&self) -> bool {
        matches!(self.end, Some(EffectEnd::Committed { .. }))
    }

    /// Tells who waits, who may have gone.
    pub(crate) fn answer(self, end: EffectEnd) {
        let _ = self.command.reply.send(end);
    }
}
