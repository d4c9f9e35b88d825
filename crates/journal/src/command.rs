//! What the journal is asked to write.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sea_orm::{DatabaseTransaction, DbErr};
use tokio::sync::{mpsc, oneshot};

use super::{
    admission::Permit,
    change::{Change, InstallationWork, Reply},
    due::{Moment, Rested},
    effects::EffectCommand,
    errors::{AppendError, ChangeError, SettleError, StorageUnavailable},
    notice::Notice,
    prune::{Deleted, Piece},
};
use pointsman_domain::{
    attempt::{AttemptOutcome, DeliveryKind},
    event::{NewEvent, PlatformEvent},
    handler_name::HandlerName,
    id::{DeadLetterId, EventId, InstallationId, WorkspaceId},
    idempotency::{Idempotency, Recorded},
    installation::InstallationView,
    lane::{Attachment, DeliveryKey, LetterChange, ParkedRetry},
    seq::Seq,
    sync_latch::SyncLatch,
    timestamp::Timestamp,
};

/// Events of one publisher: contiguous positions, all or nothing. The journal answers the publisher.
#[derive(Debug)]
pub struct Append {
    pub workspace_id: WorkspaceId,
    pub events: Vec<NewEvent>,
    pub idempotency: Option<Idempotency>,
    pub reply: oneshot::Sender<Result<Recorded, AppendError>>,
    /// The ids are derived from what made the events (see [`pointsman_domain::event::derived_id`]). Where they are
    /// recorded already, the publisher is told so, and nothing is written.
    pub derived: bool,
    /// None for a handler, which must be able to publish while publishers hold every permit.
    pub permit: Option<Permit>,
    /// Travels with the events to their deliveries.
    pub latch: Option<Arc<SyncLatch>>,
}

impl Append {
    /// The event at its position in the log.
    pub(crate) fn place(&self, event: &NewEvent, seq: Seq) -> Arc<PlatformEvent> {
        let mut placed = PlatformEvent::record(self.workspace_id, seq, event.clone());
        placed.latch.clone_from(&self.latch);
        Arc::new(placed)
    }

    /// Tells the publisher that its events are recorded.
    pub(crate) fn recorded(self) {
        self.answer_recorded(false);
    }

    /// Tells the publisher that its events had been recorded before.
    pub(crate) fn recorded_before(self) {
        self.answer_recorded(true);
    }

    /// Tells the publisher why its events are not recorded.
    pub(crate) fn refuse(self, error: impl Into<AppendError>) {
        self.answer(Err(error.into()));
    }

    fn answer_recorded(self, replayed: bool) {
        let event_ids = self.events.iter().map(|event| event.id).collect();
        self.answer(Ok(Recorded { event_ids, replayed }));
    }

    /// Releases the permit first: a publisher that has its answer may send the next events at once.
    pub(crate) fn answer(self, result: Result<Recorded, AppendError>) {
        drop(self.permit);
        // The publisher may have gone; what is recorded stays recorded.
        let _ = self.reply.send(result);
    }
}

/// What a lane, or the DeadLetterActor on its behalf, makes durable in one transaction.
#[derive(Debug)]
pub struct SettleCommand {
    pub workspace_id: WorkspaceId,
    pub installation_id: InstallationId,
    pub generation: i64,
    pub settled: Seq,
    pub park: Vec<ParkedRetry>,
    pub remove: Vec<DeliveryKey>,
    pub letters: Vec<LetterCommand>,
    pub attempts: Vec<AttemptRecord>,
    pub reply: oneshot::Sender<Result<(), SettleError>>,
}

/// A change of a dead letter that ends a delivery. The same transaction deletes the retry row of the delivery.
#[derive(Debug)]
pub struct LetterCommand {
    /// The letter, which is new where a live delivery is given up.
    pub id: DeadLetterId,
    pub extension_key: Arc<str>,
    pub change: LetterChange,
    /// When the delivery failed or the replay was delivered.
    pub at: Timestamp,
}

/// Workspaces that rest, as they were known at a moment.
#[derive(Debug)]
pub(crate) struct RestCommand {
    pub(crate) as_of: Moment,
    pub(crate) rests: Vec<Rested>,
    /// Dropped when the rests are written or given up.
    pub(crate) _until_done: oneshot::Sender<()>,
}

/// A row of the history of attempts.
#[derive(Debug)]
pub struct AttemptRecord {
    pub id: uuid::Uuid,
    pub workspace_id: WorkspaceId,
    pub installation_id: InstallationId,
    pub event_id: EventId,
    pub handler: HandlerName,
    pub kind: DeliveryKind,
    pub number: u32,
    pub outcome: AttemptOutcome,
    pub http_status: Option<u16>,
    pub duration_ms: i64,
    pub error: Option<String>,
    pub response: Option<String>,
    pub attempted_at: Timestamp,
}

impl AttemptRecord {
    /// The payload of its event was erased, which the answer may quote.
    pub fn erase(&mut self) {
        self.error = None;
        self.response = None;
    }
}

/// A lane's licence to settle, and where it stands.
#[derive(Debug)]
pub struct Attached {
    /// Every settlement of the lane carries it. The next attach of the installation makes it void.
    pub generation: i64,
    pub attachment: Attachment,
}

/// How a job on the writer connection ended, told to [`WriteJob::finish`].
#[derive(Debug)]
pub enum JobEnd {
    Committed,
    /// The job, or the database at the commit, refused; nothing was written.
    RolledBack(JobError),
    Unavailable,
}

/// A transaction of its own on the writer connection, between two batches.
pub trait WriteJob: Send {
    /// Does the work. `Err` rolls the transaction back.
    fn run<'a>(&'a mut self, transaction: &'a DatabaseTransaction) -> BoxFuture<'a, Result<(), JobError>>;

    /// The notices to the router, once it is committed.
    fn notices(&mut self) -> Vec<Notice>;

    fn finish(self: Box<Self>, end: JobEnd);
}

#[derive(Debug)]
pub enum JobError {
    /// The job's own refusal, or an error of its data.
    Refused,
    Database(DbErr),
}

impl From<DbErr> for JobError {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

/// Work that is done between two batches.
pub(crate) enum Job {
    Attach {
        installation_id: InstallationId,
        reply: oneshot::Sender<Result<Attached, StorageUnavailable>>,
    },
    Installation {
        workspace: WorkspaceId,
        work: Box<InstallationWork>,
        reply: Reply<InstallationView>,
    },
    Change {
        change: Change,
        reply: Reply<()>,
    },
    Write(Box<dyn WriteJob>),
    Prune {
        piece: Piece,
        reply: oneshot::Sender<Result<Deleted, StorageUnavailable>>,
    },
}

impl Job {
    /// Answers that there is no database.
    pub(crate) fn refuse(self) {
        // The caller may have gone.
        match self {
            Self::Attach { reply, .. } => drop(reply.send(Err(StorageUnavailable))),
            Self::Installation { reply, .. } => drop(reply.send(Err(ChangeError::StorageUnavailable))),
            Self::Change { reply, .. } => drop(reply.send(Err(ChangeError::StorageUnavailable))),
            Self::Write(job) => job.finish(JobEnd::Unavailable),
            Self::Prune { reply, .. } => drop(reply.send(Err(StorageUnavailable))),
        }
    }
}

pub(crate) enum WriterCommand {
    Append(Append),
    Effect(Box<EffectCommand>),
    Settle(Box<SettleCommand>),
    Rest(RestCommand),
    Job(Job),
    /// Stops the writer once everything that came before it is committed, the history included.
    Stop(oneshot::Sender<()>),
}

/// The commands that the writer receives, and the request to stop.
pub(crate) struct Inbox {
    commands: mpsc::UnboundedReceiver<WriterCommand>,
    /// The request to stop. It is answered once everything that came before it is committed.
    stop: Option<oneshot::Sender<()>>,
}

impl Inbox {
    pub(crate) const fn new(commands: mpsc::UnboundedReceiver<WriterCommand>) -> Self {
        Self { commands, stop: None }
    }

    /// Waits for the next command. None when no handle of the journal is left. Cancelling it loses no command.
    pub(crate) async fn receive(&mut self) -> Option<WriterCommand> {
        self.commands.recv().await
    }

    /// The next command that has arrived already.
    pub(crate) fn received(&mut self) -> Option<WriterCommand> {
        self.commands.try_recv().ok()
    }

    pub(crate) fn request_stop(&mut self, reply: oneshot::Sender<()>) {
        self.stop = Some(reply);
    }

    /// Whether the journal was told to stop.
    pub(crate) const fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    pub(crate) fn take_stop(&mut self) -> Option<oneshot::Sender<()>> {
        self.stop.take()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        task::{Context, Wake, Waker},
    };

    use futures_util::FutureExt;

    use super::*;
    use crate::admission::{Admission, WorkspaceAdmission};

    /// A publisher that sends its next events when it is woken by its answer.
    struct Publisher {
        admission: Admission,
        workspace: WorkspaceAdmission,
        was_admitted: AtomicBool,
    }

    impl Wake for Publisher {
        fn wake(self: Arc<Self>) {
            let next = self.admission.admit(&self.workspace, 1);
            self.was_admitted.store(next.is_some(), Ordering::Relaxed);
        }
    }

    #[test]
    fn a_publisher_that_has_its_answer_may_send_the_next_events_at_once() {
        let answers: [fn(Append); 3] = [Append::recorded, Append::recorded_before, |append| {
            append.refuse(StorageUnavailable);
        }];
        for answer in answers {
            let publisher = Arc::new(Publisher {
                admission: Admission::new(1),
                workspace: WorkspaceAdmission::default(),
                was_admitted: AtomicBool::new(false),
            });
            let (reply, mut answered) = oneshot::channel();
            let append = Append {
                workspace_id: WorkspaceId::new(uuid::Uuid::nil()),
                events: Vec::new(),
                idempotency: None,
                reply,
                derived: false,
                permit: publisher.admission.admit(&publisher.workspace, 1),
                latch: None,
            };
            assert!(append.permit.is_some());
            let waker = Waker::from(Arc::clone(&publisher));
            assert!(answered.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
            answer(append);
            assert!(publisher.was_admitted.load(Ordering::Relaxed));
        }
    }
}
