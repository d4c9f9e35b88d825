//! The ports of the journal: the traits through which the writer and the engine's reads reach the storage. They are
//! implemented over SQL, and in memory for simulations.

use std::{collections::HashMap, sync::Arc};

use futures_util::future::BoxFuture;
use sea_orm::DbErr;

pub use super::{
    batch::{Batch, Cursor, StagedAppend},
    command::{JobEnd, JobError, WriteJob},
    idempotency::{KeyName, StoredKey},
};
use super::{
    change::{Change, InstallationWork},
    command::AttemptRecord,
    due::{DueRow, Rested},
    effects::{EffectEnd, EffectOf, EffectWork, StagedEffect},
    errors::ChangeError,
    notice::Notice,
    prune::Piece,
};
use pointsman_clock::Clock;
use pointsman_domain::{
    event::PlatformEvent,
    event_key::EventKey,
    id::{EventId, InstallationId, WorkspaceId},
    installation::InstallationView,
    lane::{Attachment, RetryRow},
    seq::Seq,
    timestamp::Timestamp,
};

/// Why no connection could be made, for the log.
pub type ConnectError = Box<dyn std::error::Error + Send + Sync>;

/// What became of a transaction.
#[derive(Debug)]
pub enum Outcome<T, E> {
    Committed(T),
    /// It was rolled back, and the work itself is the reason.
    RolledBack(E),
    /// The connection is gone. Nothing of the work was begun, so that it may be done on another connection.
    NotBegun,
    /// The connection is gone, and it is not known whether the transaction was committed.
    Unknown,
}

impl<T, E> Outcome<T, E> {
    /// The same, with another value where it was committed.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Outcome<U, E> {
        match self {
            Self::Committed(value) => Outcome::Committed(change(value)),
            Self::RolledBack(error) => Outcome::RolledBack(error),
            Self::NotBegun => Outcome::NotBegun,
            Self::Unknown => Outcome::Unknown,
        }
    }
}

/// What was found while a batch was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The installations whose marks were deleted and that have no mark any more.
    pub unmarked: Vec<InstallationId>,
}

/// Where the log is kept, for the writer.
pub trait Storage: Send {
    /// A new writer connection that holds the claim. It is returned once no transaction of an earlier connection can
    /// still commit, so that what it finds does not change any more.
    fn connect(&self) -> BoxFuture<'static, Result<Arc<dyn Connection>, ConnectError>>;

    /// Gives back the claim, and the connection where there is one.
    fn close(self: Box<Self>, connection: Option<Arc<dyn Connection>>) -> BoxFuture<'static, ()>;
}

/// What [`Storage::connect`] says where another process may write and this one may not.
pub const WRITE_LOCK_IS_HELD: &str = "another process holds the write lock of the database file";

/// The writer connection. There is one at a time, and it does one thing at a time. The writer bounds every call by a
/// time-out, and throws the connection away after a call that timed out.
pub trait Connection: Send + Sync {
    /// The highest position in the workspace's log. Cursors beyond it are set back to it first: the writer asks for the
    /// head before it appends anything there on this connection.
    fn head(&self, workspace: WorkspaceId) -> BoxFuture<'_, Result<Seq, DbErr>>;

    /// Writes events with their idempotency keys, settlements, and marks of workspaces that are due, in one
    /// transaction: the rows of [`Batch::changes`].
    fn write<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Outcome<Written, DbErr>>;

    /// The idempotency keys of `names` that are stored and have not expired at `now`.
    fn stored_keys(
        &self,
        names: Vec<KeyName>,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<HashMap<KeyName, StoredKey>, DbErr>>;

    /// Stores that the engine's clock showed `now`. Its commit proves that the storage takes writes.
    fn probe(&self, now: Timestamp) -> BoxFuture<'_, Result<(), DbErr>>;

    /// Stores that the engine's clock showed `now`.
    fn keep_time(&self, now: Timestamp) -> BoxFuture<'_, Outcome<(), DbErr>>;

    /// Runs effects in one transaction, until it has done enough work for one. Their events get positions after
    /// `heads`, which move with them; those that say so mark their workspace as due. Where one of them ends the
    /// transaction of the others, the transaction is rolled back, and the ends of the effects say which.
    fn run_effects<'a>(
        &'a self,
        effects: &'a mut [StagedEffect],
        heads: &'a mut HashMap<WorkspaceId, Seq>,
    ) -> BoxFuture<'a, Outcome<(), DbErr>>;

    /// A connection for slow effects beside this one; none where the engine lets one connection write at a time.
    fn slow_effects(&self) -> Option<Arc<dyn SlowEffects>>;

    /// Whether each of the deliveries is marked as done with an effect.
    fn are_done(&self, deliveries: Vec<EffectOf>) -> BoxFuture<'_, Result<Vec<bool>, DbErr>>;

    /// Whether effects of the installation are marked as done.
    fn has_marks(&self, installation: InstallationId) -> BoxFuture<'_, Result<bool, DbErr>>;

    /// Makes an admin's change of an installation, at this place of the commit order, and marks the workspace as due.
    fn change_installation(
        &self,
        workspace: WorkspaceId,
        work: InstallationWork,
    ) -> BoxFuture<'_, Outcome<InstallationView, ChangeError>>;

    /// Makes one of the router's own changes, and marks [`Change::workspace_with_work`] as due. Returns the notice for
    /// the router.
    fn change(&self, change: Change) -> BoxFuture<'_, Outcome<Option<Notice>, ChangeError>>;

    /// Runs a caller's transaction, if this is a connection to an SQL database. Beside a slow effect it does not wait
    /// long for locks, which may be those of the effect.
    fn run<'a>(
        &'a self,
        job: &'a mut dyn WriteJob,
        is_beside_effect: bool,
    ) -> BoxFuture<'a, Outcome<(), JobError>>;

    /// Deletes a piece of what retention does not keep, in a transaction that need not wait for the disk. Returns the
    /// number of rows.
    fn prune(&self, piece: Piece) -> BoxFuture<'_, Outcome<u64, DbErr>>;

    /// Where the lane of the installation stands, all of it as of one moment. [`Outcome::RolledBack`] where the rows of
    /// the lane are at fault.
    fn attach(&self, installation: InstallationId) -> BoxFuture<'_, Outcome<Attachment, DbErr>>;

    /// The positions of the events of `ids` that are in the log.
    fn positions_of(&self, ids: Vec<EventId>) -> BoxFuture<'_, Result<HashMap<EventId, Seq>, DbErr>>;

    /// The workspaces that are deleted and of which rows are left.
    fn deleted_workspaces(&self) -> BoxFuture<'_, Result<Vec<WorkspaceId>, DbErr>>;

    /// Writes rows of the history, in a transaction that need not wait for the disk. `is_again` says that they were
    /// lost with a connection, and may have been recorded.
    fn write_attempts<'a>(
        &'a self,
        rows: &'a [AttemptRecord],
        is_again: bool,
    ) -> BoxFuture<'a, Outcome<(), DbErr>>;

    /// Writes when each of the workspaces has something to do next, or that it has nothing to do. Each occurs once.
    fn rest<'a>(&'a self, rests: &'a [Rested]) -> BoxFuture<'a, Outcome<(), DbErr>>;

    /// Does the upkeep of the storage that is due between two batches.
    fn tend(&self) -> BoxFuture<'_, ()>;

    /// Gives back the claim and ends the connection.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Does the work of slow effects on a connection of its own, one at a time.
pub trait SlowEffects: Send + Sync {
    /// Does the work, in a transaction that stays open. An error says how the effect has ended that cannot be
    /// committed; nothing of it is left then.
    fn prepare(&self, work: EffectWork) -> BoxFuture<'_, Result<Box<dyn PreparedEffect>, EffectEnd>>;
}

/// Work that is done and can be committed. It is rolled back when dropped.
pub trait PreparedEffect: Send {
    /// Writes the end of the delivery and the events after `head`, and commits. The caller must hold the claim, and
    /// bounds this by a time-out.
    fn finish<'a>(
        self: Box<Self>,
        effect: &'a mut StagedEffect,
        head: Seq,
        clock: Clock,
    ) -> BoxFuture<'a, FinishedEffect>;

    /// Rolls back what was done. The caller bounds this by a time-out.
    fn undo(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// What became of prepared work.
#[derive(Debug)]
pub enum FinishedEffect {
    Ended(EffectEnd),
    /// It is not known whether it was committed.
    InDoubt,
}

/// Rows of the retry table, the earliest first, and the time of the first not returned.
pub type DueRetries = (Vec<RetryRow>, Option<Timestamp>);

/// The reads of the engine, beside the writer.
pub trait LogReader: Send + Sync {
    /// The highest position in the workspace's log.
    fn head(&self, workspace: WorkspaceId) -> BoxFuture<'_, Result<Seq, DbErr>>;

    /// Every installation of the workspace that may still have something to do.
    fn views(&self, workspace: WorkspaceId) -> BoxFuture<'_, Result<Vec<InstallationView>, ChangeError>>;

    /// Up to `limit` events in `(after, through]`, in order.
    fn page(
        &self,
        workspace: WorkspaceId,
        after: Seq,
        through: Seq,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<PlatformEvent>>, DbErr>>;

    /// Retries due by `due_by`, the earliest first, and the time of the first not returned.
    fn due_retries(
        &self,
        workspace: WorkspaceId,
        installation: InstallationId,
        due_by: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<DueRetries, DbErr>>;

    /// Up to `limit` rows of workspaces after `after` that are due by `by`, in their order.
    fn due_page(
        &self,
        after: DueRow,
        by: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<DueRow>, DbErr>>;

    /// The time of the first row after `after`.
    fn earliest_due_after(&self, after: Timestamp) -> BoxFuture<'_, Result<Option<Timestamp>, DbErr>>;

    /// Of those of the workspaces that have something to do, when the first of it is to be done. Deliveries of an
    /// installation that is held count from the time at which they may expire.
    fn next_work(
        &self,
        workspaces: Vec<WorkspaceId>,
    ) -> BoxFuture<'_, Result<HashMap<WorkspaceId, Timestamp>, DbErr>>;

    /// The event, the event that caused it, and so on up to the first of the chain, at most `limit` of them.
    fn causes_of(
        &self,
        workspace: WorkspaceId,
        event: EventId,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<(EventId, EventKey)>, DbErr>>;

    /// Ends the connections of readers.
    fn close(&self) -> BoxFuture<'_, Result<(), DbErr>>;
}
