//! The handle of the journal.

use std::{collections::HashMap, fmt, sync::Arc};

use futures_util::future::BoxFuture;
use pointsman_clock::Clock;
use pointsman_domain::{
    event::PlatformEvent,
    event_key::EventKey,
    id::{DeadLetterId, EventId, InstallationId, UserId, WorkspaceId},
    installation::{InstallationChange, InstallationView, NewInstallation},
    lane::RetryRow,
    seq::Seq,
    timestamp::Timestamp,
};
use sea_orm::{DatabaseTransaction, DbErr};
use tokio::sync::{mpsc, oneshot};

use crate::{
    change::{Change, InstallationWork},
    command::{Append, Attached, Job, RestCommand, SettleCommand, WriterCommand},
    corrupt::CorruptRows,
    due::{DueRow, Moment, Now, Rested},
    effects::{EffectCommand, EffectEnd},
    erasing,
    errors::{ChangeError, StorageUnavailable},
    health::{Health, StorageTrouble},
    job::ChangeJob,
    notice::Notice,
    parts::JournalParts,
    pruner::Pruner,
    storage::LogReader,
    writer::Writer,
};

/// A handle of the journal; cheap to clone.
#[derive(Clone)]
pub struct Journal {
    commands: mpsc::UnboundedSender<WriterCommand>,
    log: Arc<dyn LogReader>,
    health: Arc<Health>,
    corrupt: Arc<CorruptRows>,
    now: Now,
    clock: Clock,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("health", &self.health)
            .finish_non_exhaustive()
    }
}

impl Journal {
    /// A journal over this storage, and its writer. The caller runs the writer, which ends when the journal is stopped.
    pub fn over(parts: JournalParts) -> (Self, Writer) {
        let (commands, receiver) = mpsc::unbounded_channel();
        let now = Now::default();
        let journal = Self {
            commands,
            log: Arc::clone(&parts.log),
            health: Arc::clone(&parts.health),
            corrupt: Arc::clone(&parts.corrupt),
            now: now.clone(),
            clock: parts.clock,
        };
        let writer = Writer::new(parts, receiver, now);
        (journal, writer)
    }

    /// Records events and answers their publisher. Where the disk has too little room for them, refuses them at once. A
    /// journal that has stopped drops the reply.
    pub fn append(&self, append: Append) {
        if self.health.is_short_of_space() {
            return append.refuse(StorageUnavailable);
        }
        self.send(WriterCommand::Append(append));
    }

    /// Writes what a lane has settled and answers through the command's reply.
    pub fn settle(&self, command: SettleCommand) {
        self.send(WriterCommand::Settle(Box::new(command)));
    }

    /// Runs an effect and answers through its reply. Where the disk has too little room for its events, refuses it at
    /// once. A journal that has stopped drops the reply.
    pub fn run_effect(&self, effect: EffectCommand) {
        if self.health.is_short_of_space() && !effect.events.is_empty() {
            // The caller may have gone.
            let _ = effect.reply.send(EffectEnd::Unavailable);
            return;
        }
        self.send(WriterCommand::Effect(Box::new(effect)));
    }

    /// A generation for a new lane, and where the lane stands, after everything queued before is committed.
    ///
    /// # Errors
    /// While there is no database.
    pub async fn attach(&self, installation_id: InstallationId) -> Result<Attached, StorageUnavailable> {
        let (reply, answer) = oneshot::channel();
        self.send(WriterCommand::Job(Job::Attach {
            installation_id,
            reply,
        }));
        answer.await.unwrap_or(Err(StorageUnavailable))
    }

    /// Runs `work` in a transaction of its own on the writer connection, between two batches, and sends the
    /// notices it returns once it is committed. An error of `work` rolls back.
    ///
    /// # Errors
    /// Those of `work`, and [`ChangeError::StorageUnavailable`].
    pub async fn write<T, F>(&self, work: F) -> Result<T, ChangeError>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a DatabaseTransaction) -> BoxFuture<'a, Result<(T, Vec<Notice>), ChangeError>>
            + Send
            + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.send(WriterCommand::Job(Job::Write(Box::new(ChangeJob::new(
            work, reply,
        )))));
        answer.await.unwrap_or(Err(ChangeError::StorageUnavailable))
    }

    /// # Errors
    /// [`ChangeError::Conflict`] where the key is installed already.
    pub async fn install(
        &self,
        workspace: WorkspaceId,
        new: NewInstallation,
    ) -> Result<InstallationView, ChangeError> {
        self.installation_work(workspace, InstallationWork::Install(new))
            .await
    }

    /// # Errors
    /// [`ChangeError::NotFound`] where the workspace has no such installation or subscription,
    /// [`ChangeError::Conflict`] where the pattern is subscribed to already.
    pub async fn change_installation(
        &self,
        workspace: WorkspaceId,
        installation: InstallationId,
        change: InstallationChange,
    ) -> Result<InstallationView, ChangeError> {
        self.installation_work(workspace, InstallationWork::Change(installation, change))
            .await
    }

    async fn installation_work(
        &self,
        workspace: WorkspaceId,
        work: InstallationWork,
    ) -> Result<InstallationView, ChangeError> {
        let (reply, answer) = oneshot::channel();
        self.send(WriterCommand::Job(Job::Installation {
            workspace,
            work: Box::new(work),
            reply,
        }));
        answer.await.unwrap_or(Err(ChangeError::StorageUnavailable))
    }

    /// Sets the letter `REPLAYING` and makes its retry due now, for the installation that failed it or for `to`.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`]; [`ChangeError::Conflict`] where the letter is not `DEAD` or the installation
    /// takes no deliveries.
    pub async fn start_replay(
        &self,
        workspace: WorkspaceId,
        letter: DeadLetterId,
        to: Option<InstallationId>,
    ) -> Result<(), ChangeError> {
        self.change(Change::StartReplay {
            workspace,
            letter,
            to,
            now: self.clock.now(),
        })
        .await
    }

    /// Sets the letter `DISCARDED`.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`]; [`ChangeError::Conflict`] where the letter is not `DEAD`.
    pub async fn discard(&self, workspace: WorkspaceId, letter: DeadLetterId) -> Result<(), ChangeError> {
        self.change(Change::Discard { workspace, letter }).await
    }

    /// Marks an uninstalled installation as closed: no later start looks at it.
    ///
    /// # Errors
    /// While there is no database.
    pub async fn mark_closed(&self, installation: InstallationId) -> Result<(), ChangeError> {
        self.change(Change::Close { installation }).await
    }

    /// Erases the payload of the event wherever it is. Where it was erased before, what is left of that is done.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`] where the event is not in the log of the workspace. After
    /// [`ChangeError::StorageUnavailable`] it may be erased from the log all the same; the next start erases the rest.
    pub async fn erase(&self, workspace: WorkspaceId, event: EventId, by: UserId) -> Result<(), ChangeError> {
        let now = self.clock.now();
        let change = Change::Erase {
            workspace,
            event,
            by,
            now,
        };
        self.change(change).await?;
        Ok(erasing::erase_the_rest(&self.pruner(), workspace, event).await?)
    }

    /// Deletes the workspace: nothing is written there any more, and nothing of it is delivered. Its rows are deleted
    /// afterwards, in pieces, also where the process ends in between.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`] where there is no such workspace.
    pub async fn delete_workspace(&self, workspace: WorkspaceId, by: UserId) -> Result<(), ChangeError> {
        let now = self.clock.now();
        self.change(Change::DeleteWorkspace { workspace, by, now }).await
    }

    async fn change(&self, change: Change) -> Result<(), ChangeError> {
        let (reply, answer) = oneshot::channel();
        self.send(WriterCommand::Job(Job::Change { change, reply }));
        answer.await.unwrap_or(Err(ChangeError::StorageUnavailable))
    }

    /// Whether the journal takes events.
    ///
    /// # Errors
    /// Why it does not, for an operator.
    pub fn storage_state(&self) -> Result<(), StorageTrouble> {
        self.health.state()
    }

    /// Has the writer delete what retention does not keep.
    pub fn pruner(&self) -> Pruner {
        Pruner::new(self.commands.downgrade())
    }

    /// Returns once the writer has ended: it was told to stop, or it has panicked.
    pub async fn ended(&self) {
        self.commands.closed().await;
    }

    /// How many corrupt rows of the database were found since the start and set aside. The log names each.
    pub fn corrupt_rows(&self) -> u64 {
        self.corrupt.found()
    }

    /// The workspace's head and the installations that may have something to do. The head is read first:
    /// a view may be newer than the head, never older.
    ///
    /// # Errors
    /// While there is no database.
    pub async fn load(&self, workspace: WorkspaceId) -> Result<(Seq, Vec<InstallationView>), ChangeError> {
        let head = self.log.head(workspace).await?;
        let mut views = self.log.views(workspace).await?;
        for view in &mut views {
            // A cursor beyond the head is corrupt, and would skip the events to come.
            view.settled = view.settled.min(head);
        }
        Ok((head, views))
    }

    /// Up to `limit` events in `(after, through]`, in order.
    ///
    /// # Errors
    /// While there is no database.
    pub async fn page(
        &self,
        workspace: WorkspaceId,
        after: Seq,
        through: Seq,
        limit: usize,
    ) -> Result<Vec<Arc<PlatformEvent>>, DbErr> {
        self.log.page(workspace, after, through, limit).await
    }

    /// Retries due by `due_by`, the earliest first, and the time of the first not returned.
    ///
    /// # Errors
    /// While there is no database.
    pub async fn due_retries(
        &self,
        workspace: WorkspaceId,
        installation: InstallationId,
        due_by: Timestamp,
        limit: usize,
    ) -> Result<(Vec<RetryRow>, Option<Timestamp>), DbErr> {
        self.log.due_retries(workspace, installation, due_by, limit).await
    }

    /// The present moment, to be taken before somebody looks at workspaces that are to rest.
    pub fn moment(&self) -> Moment {
        self.now.get()
    }

    /// Has the rows of the workspaces say when they have something to do next, as was known at the moment. Those in
    /// which work was recorded since stay as they are. What is returned ends once it is done, or given up.
    pub fn rest(&self, as_of: Moment, rests: Vec<Rested>) -> oneshot::Receiver<()> {
        let (until_done, done) = oneshot::channel();
        self.send(WriterCommand::Rest(RestCommand {
            as_of,
            rests,
            _until_done: until_done,
        }));
        done
    }

    /// Up to `limit` rows of workspaces after `after` that are due by `by`, in their order.
    ///
    /// # Errors
    /// While there is no database.
    pub async fn due_page(&self, after: DueRow, by: Timestamp, limit: usize) -> Result<Vec<DueRow>, DbErr> {
        self.log.due_page(after, by, limit).await
    }

    /// The time of the first row after `after`.
    ///
    /// # Errors
    /// While there is no database.
    pub async fn earliest_due_after(&self, after: Timestamp) -> Result<Option<Timestamp>, DbErr> {
        self.log.earliest_due_after(after).await
    }

    /// Of those of the workspaces that have something to do, when the first of it is to be done. Deliveries of an
    /// installation that is held count from the time at which they may expire.
    ///
    /// # Errors
    /// While there is no database.
    pub async fn next_work(
        &self,
        workspaces: Vec<WorkspaceId>,
    ) -> Result<HashMap<WorkspaceId, Timestamp>, DbErr> {
        self.log.next_work(workspaces).await
    }

    /// The event, the event that caused it, and so on up to the first of the chain, at most `limit` of them. The chain
    /// ends early where an event is gone from the log.
    ///
    /// # Errors
    /// While there is no database.
    pub async fn causes_of(
        &self,
        workspace: WorkspaceId,
        event: EventId,
        limit: u32,
    ) -> Result<Vec<(EventId, EventKey)>, DbErr> {
        self.log.causes_of(workspace, event, limit).await
    }

    /// Commits everything that was sent before, the history of attempts too, and closes the database.
    pub async fn stop(&self) {
        let (reply, answer) = oneshot::channel();
        self.send(WriterCommand::Stop(reply));
        // The writer may have ended already.
        let _ = answer.await;
        if let Err(error) = self.log.close().await {
            log::warn!(error:%; "closing the connections of readers failed");
        }
    }

    /// A writer that has stopped drops the command with its reply. The dropped reply tells the sender.
    fn send(&self, command: WriterCommand) {
        let _ = self.commands.send(command);
    }
}
