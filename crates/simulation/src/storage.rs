//! The journal's storage in a simulated world: in memory, slow at times, and with injected faults.

use std::{collections::HashMap, future::pending, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use sea_orm::DbErr;
use tokio::time::sleep;

use super::{
    tables::effects::Effects,
    world::{State, World},
};
use pointsman_domain::{
    event::PlatformEvent,
    event_key::EventKey,
    id::{EventId, InstallationId, WorkspaceId},
    installation::InstallationView,
    lane::Attachment,
    seq::Seq,
    timestamp::Timestamp,
};
use pointsman_journal::{
    AttemptRecord, ChangeError, DueRow, EffectOf, JournalParts, Notice, NoticeSink, Rested,
    change::{Change, InstallationWork},
    effects::StagedEffect,
    prune::Piece,
    storage::{
        Batch, ConnectError, Connection, DueRetries, JobError, KeyName, LogReader, Outcome, SlowEffects,
        Storage, StoredKey, WriteJob, Written,
    },
};
use pointsman_simulated_clock::Clock;

/// The storage as a process of this world finds it.
pub(super) fn open(world: &Arc<World>, notices: NoticeSink) -> JournalParts {
    let connection = SimulatedConnection::new(world);
    JournalParts {
        deleted: Vec::new(),
        last_generation: world.with(|state| {
            state.tables.catch_up(Clock.now());
            state.tables.last_generation()
        }),
        connection: Arc::new(connection),
        storage: Box::new(SimulatedStorage(Arc::clone(world))),
        log: Arc::new(Reader(Arc::clone(world))),
        notices,
        health: Arc::default(),
        corrupt: Arc::default(),
        clock: Clock,
    }
}

struct SimulatedStorage(Arc<World>);

impl Storage for SimulatedStorage {
    fn connect(&self) -> BoxFuture<'static, Result<Arc<dyn Connection>, ConnectError>> {
        let world = Arc::clone(&self.0);
        async move {
            let (pause, refused, hangs) = world.with(|state| {
                let refused = state.is_away() || state.rng.chance(state.faults.connect);
                (state.pause(), refused, refused && state.rng.chance(200))
            });
            sleep(pause).await;
            if hangs {
                pending::<()>().await;
            }
            if refused {
                world.with(|state| state.fault(format_args!("a connection is refused")));
                return Err(gone().into());
            }
            let connection: Arc<dyn Connection> = Arc::new(SimulatedConnection::new(&world));
            Ok(connection)
        }
        .boxed()
    }

    fn close(self: Box<Self>, _: Option<Arc<dyn Connection>>) -> BoxFuture<'static, ()> {
        async {}.boxed()
    }
}

/// A writer connection.
struct SimulatedConnection {
    world: Arc<World>,
    number: u64,
}

/// What becomes of an operation on the writer connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InjectedFault {
    None,
    LostBefore,
    LostAfter,
    HangsBefore,
    HangsAfter,
    HangsInDoubt,
}

impl SimulatedConnection {
    /// First decides whether the transactions that hung are committed.
    fn new(world: &Arc<World>) -> Self {
        let number = world.with(|state| {
            for doubtful in std::mem::take(&mut state.in_doubt) {
                let committed = state.rng.chance(500);
                state
                    .trace
                    .record(format_args!("what hung is committed: {committed}"));
                if committed {
                    doubtful(state);
                }
            }
            state.connection += 1;
            state.trace.record(format_args!("connected"));
            state.connection
        });
        Self {
            world: Arc::clone(world),
            number,
        }
    }

    /// Does `work` at once, in a transaction that may be slow or fail.
    async fn transact<T, E>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut State) -> Result<T, E> + Send + 'static,
    ) -> Outcome<T, E> {
        let (fault, before, after) = self.world.with(|state| {
            let fault = state.inject(self.number);
            if fault != InjectedFault::None {
                state.fault(format_args!("{name} {fault:?}"));
            }
            (fault, state.pause(), state.pause())
        });
        sleep(before).await;
        match fault {
            InjectedFault::LostBefore => return Outcome::NotBegun,
            InjectedFault::HangsBefore => return pending().await,
            InjectedFault::HangsInDoubt => {
                let doubtful = Box::new(move |state: &mut State| drop(work(state)));
                self.world.with(|state| state.in_doubt.push(doubtful));
                return pending().await;
            }
            InjectedFault::None | InjectedFault::LostAfter | InjectedFault::HangsAfter => {}
        }
        let result = self.world.with(work);
        sleep(after).await;
        match (fault, result) {
            (InjectedFault::HangsAfter, _) => pending().await,
            (InjectedFault::LostAfter, _) => Outcome::Unknown,
            (_, Ok(value)) => Outcome::Committed(value),
            (_, Err(error)) => Outcome::RolledBack(error),
        }
    }

    /// Reads from the tables; may fail or hang.
    async fn ask<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&mut State) -> Result<T, DbErr>,
    ) -> Result<T, DbErr> {
        let (fault, before, after) = self.world.with(|state| {
            let fault = state.inject(self.number);
            if fault != InjectedFault::None {
                state.fault(format_args!("{name} {fault:?}"));
            }
            (fault, state.pause(), state.pause())
        });
        sleep(before).await;
        let result = match fault {
            InjectedFault::None => self.world.with(read),
            InjectedFault::LostBefore | InjectedFault::LostAfter => Err(gone()),
            _ => return pending().await,
        };
        sleep(after).await;
        result
    }
}

impl Connection for SimulatedConnection {
    fn head(&self, workspace: WorkspaceId) -> BoxFuture<'_, Result<Seq, DbErr>> {
        self.ask("head", move |state| Ok(state.tables.head(workspace)))
            .boxed()
    }

    fn write<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Outcome<Written, DbErr>> {
        let effects = self.world.with(|state| Effects::of(batch, &state.tables));
        self.transact("write", move |state| {
            state.write(&effects).map(|()| Written::default())
        })
        .boxed()
    }

    fn stored_keys(
        &self,
        names: Vec<KeyName>,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<HashMap<KeyName, StoredKey>, DbErr>> {
        self.ask("stored_keys", move |state| {
            Ok(state.tables.stored_keys(&names, now))
        })
        .boxed()
    }

    fn probe(&self, now: Timestamp) -> BoxFuture<'_, Result<(), DbErr>> {
        self.ask("probe", move |state| {
            state.tables.last_seen = now;
            Ok(())
        })
        .boxed()
    }

    fn keep_time(&self, now: Timestamp) -> BoxFuture<'_, Outcome<(), DbErr>> {
        self.transact("keep_time", move |state| {
            state.tables.last_seen = now;
            Ok(())
        })
        .boxed()
    }

    fn change_installation(
        &self,
        workspace: WorkspaceId,
        work: InstallationWork,
    ) -> BoxFuture<'_, Outcome<InstallationView, ChangeError>> {
        self.transact("change_installation", move |state| {
            let view = state.tables.change_installation(workspace, &work);
            let done = view.is_ok();
            state.trace.record(format_args!("{work:?}: {done}"));
            state.check_tables();
            view
        })
        .boxed()
    }

    fn change(&self, change: Change) -> BoxFuture<'_, Outcome<Option<Notice>, ChangeError>> {
        self.transact("change", move |state| {
            let notice = state.tables.change(&change);
            let done = notice.is_ok();
            state.trace.record(format_args!("{change:?}: {done}"));
            state.check_tables();
            notice
        })
        .boxed()
    }

    /// A simulated world has no SQL, and so no extension with effects.
    fn run_effects<'a>(
        &'a self,
        _: &'a mut [StagedEffect],
        _: &'a mut HashMap<WorkspaceId, Seq>,
    ) -> BoxFuture<'a, Outcome<(), DbErr>> {
        async { Outcome::Unknown }.boxed()
    }

    fn slow_effects(&self) -> Option<Arc<dyn SlowEffects>> {
        None
    }

    fn are_done(&self, deliveries: Vec<EffectOf>) -> BoxFuture<'_, Result<Vec<bool>, DbErr>> {
        async move { Ok(vec![false; deliveries.len()]) }.boxed()
    }

    fn has_marks(&self, _: InstallationId) -> BoxFuture<'_, Result<bool, DbErr>> {
        async { Ok(false) }.boxed()
    }

    fn run<'a>(&'a self, _: &'a mut dyn WriteJob, _: bool) -> BoxFuture<'a, Outcome<(), JobError>> {
        async { Outcome::RolledBack(JobError::Refused) }.boxed()
    }

    /// The planner of what is pruned reads SQL. It has no part in a world.
    /// A world has no table of workspaces, so that none is deleted.
    fn deleted_workspaces(&self) -> BoxFuture<'_, Result<Vec<WorkspaceId>, DbErr>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn prune(&self, _: Piece) -> BoxFuture<'_, Outcome<u64, DbErr>> {
        async { Outcome::RolledBack(DbErr::Custom("a world is not pruned".to_owned())) }.boxed()
    }

    fn attach(&self, installation: InstallationId) -> BoxFuture<'_, Outcome<Attachment, DbErr>> {
        let attached = self.ask("attach", move |state| {
            let attachment = state.tables.attachment(installation);
            state
                .trace
                .record(format_args!("{installation} attaches: {attachment:?}"));
            state.witness.attached(installation);
            attachment
        });
        async move { attached.await.map_or(Outcome::Unknown, Outcome::Committed) }.boxed()
    }

    fn positions_of(&self, ids: Vec<EventId>) -> BoxFuture<'_, Result<HashMap<EventId, Seq>, DbErr>> {
        self.ask("positions_of", move |state| Ok(state.tables.positions_of(&ids)))
            .boxed()
    }

    fn write_attempts<'a>(&'a self, _: &'a [AttemptRecord], _: bool) -> BoxFuture<'a, Outcome<(), DbErr>> {
        self.transact("write_attempts", |_| Ok(())).boxed()
    }

    fn rest<'a>(&'a self, rests: &'a [Rested]) -> BoxFuture<'a, Outcome<(), DbErr>> {
        let rests = rests.to_vec();
        self.transact("rest", move |state| {
            state.trace.record(format_args!("rest: {rests:?}"));
            state.tables.rest(&rests);
            state.check_tables();
            Ok(())
        })
        .boxed()
    }

    fn tend(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}

/// The pool for reads.
struct Reader(Arc<World>);

impl Reader {
    /// Reads the state of one moment during the read, or fails at its end.
    async fn read<T>(&self, read: impl FnOnce(&State) -> T) -> Result<T, DbErr> {
        let (before, after, fails, patience) = self.0.with(|state| {
            let fails = state.is_away() || state.rng.chance(state.faults.read);
            (state.pause(), state.pause(), fails, state.rng.millis(0..3_000))
        });
        sleep(before).await;
        if fails {
            self.0.with(|state| state.fault(format_args!("a read fails")));
            sleep(patience).await;
            return Err(gone());
        }
        let found = self.0.with(|state| read(state));
        sleep(after).await;
        Ok(found)
    }
}

impl LogReader for Reader {
    fn head(&self, workspace: WorkspaceId) -> BoxFuture<'_, Result<Seq, DbErr>> {
        self.read(move |state| state.tables.head(workspace)).boxed()
    }

    fn views(&self, workspace: WorkspaceId) -> BoxFuture<'_, Result<Vec<InstallationView>, ChangeError>> {
        async move { Ok(self.read(|state| state.tables.views(workspace)).await?) }.boxed()
    }

    fn page(
        &self,
        workspace: WorkspaceId,
        after: Seq,
        through: Seq,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<PlatformEvent>>, DbErr>> {
        self.read(move |state| {
            let events = state.tables.events(workspace, after, through);
            events[..events.len().min(limit)].to_vec()
        })
        .boxed()
    }

    fn due_retries(
        &self,
        _: WorkspaceId,
        installation: InstallationId,
        due_by: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<DueRetries, DbErr>> {
        self.read(move |state| state.tables.due_retries(installation, due_by, limit))
            .boxed()
    }

    fn due_page(
        &self,
        after: DueRow,
        by: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<DueRow>, DbErr>> {
        self.read(move |state| state.tables.due_page(after, by, limit))
            .boxed()
    }

    fn earliest_due_after(&self, after: Timestamp) -> BoxFuture<'_, Result<Option<Timestamp>, DbErr>> {
        self.read(move |state| state.tables.earliest_due_after(after))
            .boxed()
    }

    fn next_work(
        &self,
        workspaces: Vec<WorkspaceId>,
    ) -> BoxFuture<'_, Result<HashMap<WorkspaceId, Timestamp>, DbErr>> {
        self.read(move |state| {
            let next_work = state.tables.next_work(state.settings.max_hold);
            let asked = |(workspace, _): &(WorkspaceId, Timestamp)| workspaces.contains(workspace);
            next_work.into_iter().filter(asked).collect()
        })
        .boxed()
    }

    /// No event of a simulated world has causes.
    fn causes_of(
        &self,
        _: WorkspaceId,
        _: EventId,
        _: u32,
    ) -> BoxFuture<'_, Result<Vec<(EventId, EventKey)>, DbErr>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), DbErr>> {
        async { Ok(()) }.boxed()
    }
}

fn gone() -> DbErr {
    DbErr::Custom("the connection is gone".to_owned())
}

impl State {
    fn is_away(&self) -> bool {
        Clock.now() < self.outage_until
    }

    fn pause(&mut self) -> Duration {
        let most = self.settings.storage_millis;
        self.rng.millis(0..most)
    }

    fn inject(&mut self, connection: u64) -> InjectedFault {
        const FAULTS: [InjectedFault; 5] = [
            InjectedFault::LostBefore,
            InjectedFault::LostAfter,
            InjectedFault::HangsBefore,
            InjectedFault::HangsAfter,
            InjectedFault::HangsInDoubt,
        ];
        if connection != self.connection {
            return InjectedFault::LostBefore;
        }
        if self.is_away() || self.rng.chance(self.faults.write) {
            return self.rng.pick(&FAULTS).unwrap_or(InjectedFault::LostBefore);
        }
        InjectedFault::None
    }

    fn write(&mut self, effects: &Effects) -> Result<(), DbErr> {
        if let Err(refusal) = self.tables.check(effects) {
            self.trace.record(format_args!("a batch is refused: {refusal}"));
            return Err(refusal);
        }
        let before = self.witness.before(effects, &self.tables);
        self.tables.apply(effects);
        self.trace.record(format_args!("committed: {effects}"));
        self.witness.after(before, effects, &self.tables);
        self.check_tables();
        Ok(())
    }
}
