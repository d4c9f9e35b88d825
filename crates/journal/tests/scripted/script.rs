//! The scripted storage: it does as the state says, and notes which calls have come.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use sea_orm::DbErr;
use tokio::time::sleep;

use pointsman_domain::{
    event::PlatformEvent,
    event_key::EventKey,
    id::{EventId, InstallationId, WorkspaceId},
    installation::InstallationView,
    lane::{Attachment, RetryRow},
    seq::Seq,
    timestamp::Timestamp,
};
use pointsman_journal::{
    AttemptRecord, ChangeError, DueRow, EffectEnd, EffectOf, EffectWork, Health, Journal, JournalParts,
    Notice, Rested,
    change::{Change, InstallationWork},
    effects::StagedEffect,
    prune::Piece,
    storage::{
        Batch, ConnectError, Connection, DueRetries, FinishedEffect, JobError, KeyName, LogReader, Outcome,
        PreparedEffect, SlowEffects, Storage, StoredKey, WriteJob, Written,
    },
};
use pointsman_simulated_clock::{self as simulated, Clock};

/// How a call ends, after so many milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CallEnd {
    Fine(u64),
    NotBegun(u64),
    Unknown(u64),
    Refused(u64),
    Hangs,
}

impl CallEnd {
    async fn outcome<T, E: From<DbErr>>(self, value: T) -> Outcome<T, E> {
        let refusal = || E::from(DbErr::Custom("refused".to_owned()));
        let (millis, outcome) = match self {
            Self::Fine(millis) => (millis, Outcome::Committed(value)),
            Self::NotBegun(millis) => (millis, Outcome::NotBegun),
            Self::Unknown(millis) => (millis, Outcome::Unknown),
            Self::Refused(millis) => (millis, Outcome::RolledBack(refusal())),
            Self::Hangs => pending().await,
        };
        sleep(Duration::from_millis(millis)).await;
        outcome
    }
}

/// How the calls to come end, and which calls have come.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) writes: VecDeque<CallEnd>,
    pub(crate) changes: VecDeque<CallEnd>,
    pub(crate) rests: VecDeque<CallEnd>,
    /// How look-ups of events by their ids end; none is found.
    pub(crate) look_ups: VecDeque<CallEnd>,
    /// How every write of the time ends.
    pub(crate) time_keeping: Option<CallEnd>,
    /// How the transactions of effects end. Each effect takes as long as the transaction.
    pub(crate) effects: VecDeque<CallEnd>,
    /// How the work of every slow effect ends, where slow effects have a connection of their own.
    pub(crate) slow_work: Option<CallEnd>,
    pub(crate) tending_hangs: bool,
    /// How long every new connection takes.
    pub(crate) connecting: Duration,
    /// When each call came, since the start.
    pub(crate) written: Vec<(Duration, usize)>,
    /// How many workspaces each write has marked as due.
    pub(crate) marked: Vec<usize>,
    pub(crate) rested: Vec<(Duration, Vec<Rested>)>,
    pub(crate) times_kept: Vec<Duration>,
    pub(crate) tended: usize,
    pub(crate) connected: usize,
    pub(crate) health: Arc<Health>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Script(Arc<Mutex<State>>);

impl Script {
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().expect("no test panics with the lock"))
    }

    /// A journal whose writer is a task of this thread.
    pub(crate) fn open(&self) -> Journal {
        simulated::start_process(1, Timestamp::from_millis(1_800_000_000_000));
        let (journal, writer) = Journal::over(JournalParts {
            storage: Box::new(self.clone()),
            connection: Arc::new(self.clone()),
            last_generation: 0,
            deleted: Vec::new(),
            log: Arc::new(self.clone()),
            notices: Box::new(|_| ()),
            health: self.with(|state| Arc::clone(&state.health)),
            corrupt: Arc::default(),
            clock: Clock,
        });
        tokio::spawn(writer.run());
        journal
    }
}

pub(crate) fn since_start() -> Duration {
    Duration::from_millis(Clock.now().millis().abs_diff(1_800_000_000_000))
}

impl Storage for Script {
    fn connect(&self) -> BoxFuture<'static, Result<Arc<dyn Connection>, ConnectError>> {
        let pause = self.with(|state| {
            state.connected += 1;
            state.connecting
        });
        let connection: Arc<dyn Connection> = Arc::new(self.clone());
        async move {
            sleep(pause).await;
            Ok(connection)
        }
        .boxed()
    }

    fn close(self: Box<Self>, _: Option<Arc<dyn Connection>>) -> BoxFuture<'static, ()> {
        async {}.boxed()
    }
}

/// The answer to calls that these tests do not expect.
fn unasked<T>() -> BoxFuture<'static, Result<T, DbErr>>
where
    T: Send + 'static,
{
    async { Err(DbErr::Custom("these tests do not expect the call".to_owned())) }.boxed()
}

impl Connection for Script {
    fn head(&self, _: WorkspaceId) -> BoxFuture<'_, Result<Seq, DbErr>> {
        async { Ok(Seq::ZERO) }.boxed()
    }

    fn write<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Outcome<Written, DbErr>> {
        let end = self.with(|state| {
            state.written.push((since_start(), batch.appends.len()));
            state.marked.push(batch.due.len());
            state.writes.pop_front().unwrap_or(CallEnd::Fine(1))
        });
        end.outcome(Written::default()).boxed()
    }

    fn stored_keys(
        &self,
        _: Vec<KeyName>,
        _: Timestamp,
    ) -> BoxFuture<'_, Result<HashMap<KeyName, StoredKey>, DbErr>> {
        unasked()
    }

    fn probe(&self, _: Timestamp) -> BoxFuture<'_, Result<(), DbErr>> {
        async { Ok(()) }.boxed()
    }

    fn keep_time(&self, _: Timestamp) -> BoxFuture<'_, Outcome<(), DbErr>> {
        let end = self.with(|state| {
            state.times_kept.push(since_start());
            state.time_keeping.unwrap_or(CallEnd::Fine(0))
        });
        end.outcome(()).boxed()
    }

    fn run_effects<'a>(
        &'a self,
        effects: &'a mut [StagedEffect],
        _: &'a mut HashMap<WorkspaceId, Seq>,
    ) -> BoxFuture<'a, Outcome<(), DbErr>> {
        let end = self.with(|state| state.effects.pop_front());
        async move {
            let start = Clock.instant();
            let outcome = end.unwrap_or(CallEnd::Unknown(0)).outcome(()).await;
            for effect in effects {
                effect.end = Some(committed());
                effect.took = Clock.elapsed(start);
            }
            outcome
        }
        .boxed()
    }

    fn slow_effects(&self) -> Option<Arc<dyn SlowEffects>> {
        let slow = self.with(|state| state.slow_work)?;
        Some(Arc::new(Slow(slow)))
    }

    fn are_done(&self, _: Vec<EffectOf>) -> BoxFuture<'_, Result<Vec<bool>, DbErr>> {
        unasked()
    }

    fn has_marks(&self, _: InstallationId) -> BoxFuture<'_, Result<bool, DbErr>> {
        async { Ok(false) }.boxed()
    }

    fn change_installation(
        &self,
        _: WorkspaceId,
        _: InstallationWork,
    ) -> BoxFuture<'_, Outcome<InstallationView, ChangeError>> {
        let end = self.with(|state| state.changes.pop_front());
        async move {
            match end {
                Some(CallEnd::NotBegun(_)) => Outcome::NotBegun,
                Some(CallEnd::Refused(_)) => {
                    Outcome::RolledBack(ChangeError::Conflict("it is there".to_owned()))
                }
                _ => Outcome::Unknown,
            }
        }
        .boxed()
    }

    fn change(&self, _: Change) -> BoxFuture<'_, Outcome<Option<Notice>, ChangeError>> {
        async { Outcome::Unknown }.boxed()
    }

    fn run<'a>(&'a self, _: &'a mut dyn WriteJob, _: bool) -> BoxFuture<'a, Outcome<(), JobError>> {
        async { Outcome::Unknown }.boxed()
    }

    fn deleted_workspaces(&self) -> BoxFuture<'_, Result<Vec<WorkspaceId>, DbErr>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn prune(&self, _: Piece) -> BoxFuture<'_, Outcome<u64, DbErr>> {
        async { Outcome::Unknown }.boxed()
    }

    fn attach(&self, _: InstallationId) -> BoxFuture<'_, Outcome<Attachment, DbErr>> {
        let attachment = Attachment {
            settled: Seq::ZERO,
            handled: BTreeSet::new(),
            next_retry_at: None,
            parked_live: false,
            parked_through: None,
            head: Seq::ZERO,
        };
        async { Outcome::Committed(attachment) }.boxed()
    }

    /// No event of a failed write is in the log.
    fn positions_of(&self, _: Vec<EventId>) -> BoxFuture<'_, Result<HashMap<EventId, Seq>, DbErr>> {
        let end = self.with(|state| state.look_ups.pop_front());
        async move {
            match end
                .unwrap_or(CallEnd::Fine(0))
                .outcome::<_, DbErr>(HashMap::new())
                .await
            {
                Outcome::Committed(found) => Ok(found),
                _ => Err(DbErr::Custom("refused".to_owned())),
            }
        }
        .boxed()
    }

    fn write_attempts<'a>(&'a self, _: &'a [AttemptRecord], _: bool) -> BoxFuture<'a, Outcome<(), DbErr>> {
        async { Outcome::Committed(()) }.boxed()
    }

    fn rest<'a>(&'a self, rests: &'a [Rested]) -> BoxFuture<'a, Outcome<(), DbErr>> {
        let end = self.with(|state| {
            state.rested.push((since_start(), rests.to_vec()));
            state.rests.pop_front().unwrap_or(CallEnd::Fine(1))
        });
        end.outcome(()).boxed()
    }

    fn tend(&self) -> BoxFuture<'_, ()> {
        let hangs = self.with(|state| {
            state.tended += 1;
            state.tending_hangs
        });
        async move {
            if hangs {
                pending::<()>().await;
            }
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}

impl LogReader for Script {
    fn head(&self, _: WorkspaceId) -> BoxFuture<'_, Result<Seq, DbErr>> {
        unasked()
    }

    fn views(&self, _: WorkspaceId) -> BoxFuture<'_, Result<Vec<InstallationView>, ChangeError>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn page(
        &self,
        _: WorkspaceId,
        _: Seq,
        _: Seq,
        _: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<PlatformEvent>>, DbErr>> {
        unasked()
    }

    fn due_retries(
        &self,
        _: WorkspaceId,
        _: InstallationId,
        _: Timestamp,
        _: usize,
    ) -> BoxFuture<'_, Result<DueRetries, DbErr>> {
        async { Ok((Vec::<RetryRow>::new(), None)) }.boxed()
    }

    fn due_page(&self, _: DueRow, _: Timestamp, _: usize) -> BoxFuture<'_, Result<Vec<DueRow>, DbErr>> {
        unasked()
    }

    fn earliest_due_after(&self, _: Timestamp) -> BoxFuture<'_, Result<Option<Timestamp>, DbErr>> {
        unasked()
    }

    fn next_work(
        &self,
        _: Vec<WorkspaceId>,
    ) -> BoxFuture<'_, Result<HashMap<WorkspaceId, Timestamp>, DbErr>> {
        unasked()
    }

    fn causes_of(
        &self,
        _: WorkspaceId,
        _: EventId,
        _: u32,
    ) -> BoxFuture<'_, Result<Vec<(EventId, EventKey)>, DbErr>> {
        unasked()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), DbErr>> {
        async { Ok(()) }.boxed()
    }
}

fn committed() -> EffectEnd {
    EffectEnd::Committed {
        event_ids: Vec::new(),
    }
}

/// The connection for slow effects.
struct Slow(CallEnd);

impl SlowEffects for Slow {
    fn prepare(&self, _: EffectWork) -> BoxFuture<'_, Result<Box<dyn PreparedEffect>, EffectEnd>> {
        async {
            match self.0.outcome::<_, DbErr>(()).await {
                Outcome::Committed(()) => Ok(Box::new(Prepared) as Box<dyn PreparedEffect>),
                _ => Err(EffectEnd::Unavailable),
            }
        }
        .boxed()
    }
}

struct Prepared;

impl PreparedEffect for Prepared {
    fn finish<'a>(
        self: Box<Self>,
        _: &'a mut StagedEffect,
        _: Seq,
        _: pointsman_clock::Clock,
    ) -> BoxFuture<'a, FinishedEffect> {
        async { FinishedEffect::Ended(committed()) }.boxed()
    }

    fn undo(self: Box<Self>) -> BoxFuture<'static, ()> {
        async {}.boxed()
    }
}
