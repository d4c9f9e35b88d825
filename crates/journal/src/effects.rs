//! What handlers do exactly once: their own writes, the events that they publish and the end of the delivery, in one
//! transaction.
//!
//! Effects are never in the transaction of an append, so that none of them can cause an append to be written twice. A
//! transaction holds several effects, each in a savepoint of its own. An effect that is done is marked in
//! `ext_delivery_done` until the cursor has passed its delivery. A lane that attaches after a crash does not attempt a
//! marked delivery again, and effects whose outcome is unknown are resolved by their marks.

mod queue;

use std::{any::Any, fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use sea_orm::DatabaseTransaction;
use tokio::sync::oneshot;

pub use self::queue::SLOW;
pub(crate) use self::queue::{EffectQueue, SlowSession};
use pointsman_domain::{
    event::{NewEvent, PlatformEvent},
    id::{DeadLetterId, EventId, InstallationId, WorkspaceId},
    lane::DeliveryKey,
    seq::Seq,
};
use pointsman_panics::Guarded;

/// The error of the handler's author; a caller that knows its type can take it out.
#[derive(Debug)]
pub struct EffectFailure(Guarded<Box<dyn Any + Send>>);

impl EffectFailure {
    pub fn new(error: impl Any + Send) -> Self {
        Self(Guarded::new(Box::new(error)))
    }

    /// The error, if it is of this type.
    pub fn downcast<T: Any>(self) -> Option<T> {
        self.0.into_inner().downcast().map(|error| *error).ok()
    }
}

/// The writes of an effect.
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

    /// Makes the writes.
    ///
    /// # Errors
    /// Those of the handler's author.
    pub async fn run(self, transaction: &DatabaseTransaction) -> Result<(), EffectFailure> {
        (self.0.into_inner())(transaction).await
    }
}

/// An effect: work that shares one transaction with events and with the end of a delivery.
pub struct EffectCommand {
    pub workspace_id: WorkspaceId,
    /// None for an effect that ends no delivery.
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
    /// It was durable before. Nothing was done again.
    AlreadyDone,
    /// The work returned an error; nothing of it is left.
    Failed(EffectFailure),
    /// The work panicked; nothing of it is left.
    Panicked,
    /// The work took too long; nothing of it is left.
    TimedOut,
    /// The work ended the transaction that it is a part of. Nothing of it is left but for what it committed by itself,
    /// which PostgreSQL allows.
    EndedTransaction,
    /// The database refused one of its events, or its commit; nothing of it is left.
    Refused,
    /// A newer generation of the lane has attached, or the workspace was deleted; nothing of it is left.
    Fenced,
    /// Nothing of it is left, and it must be run again. Another effect has ended the transaction that they shared, or
    /// this one took too long for a shared transaction.
    Again,
    /// The database cannot be reached, or has too little room for its events. Nothing of it is left.
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
    /// Its events at the positions that they get if the transaction commits.
    pub events: Vec<Arc<PlatformEvent>>,
    /// None until it has been run.
    pub end: Option<EffectEnd>,
    /// Its installation has slow effects, so that it has a transaction to itself and may take longer.
    pub is_slow: bool,
    pub has_work: bool,
    /// Its transaction marks its workspace as due.
    pub marks_due: bool,
    /// Its transaction has come to it.
    pub is_begun: bool,
    /// Its work has begun, and its savepoint is neither kept nor undone: whatever has befallen the transaction, this
    /// effect may have been the cause.
    pub is_suspect: bool,
    pub took: Duration,
}

impl StagedEffect {
    pub(crate) fn new(command: EffectCommand, is_slow: bool) -> Self {
        Self {
            has_work: command.work.is_some(),
            command,
            events: Vec::new(),
            end: None,
            is_slow,
            marks_due: false,
            is_begun: false,
            is_suspect: false,
            took: Duration::ZERO,
        }
    }

    pub const fn is_committed(&self) -> bool {
        matches!(self.end, Some(EffectEnd::Committed { .. }))
    }

    pub(crate) fn answer(self, end: EffectEnd) {
        // The caller may have gone.
        let _ = self.command.reply.send(end);
    }
}
