//! The writer over a scripted storage, in virtual time: the script says how long a call takes, and at which the
//! connection is lost.

mod ask;

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
    idempotency::Recorded,
    installation::InstallationView,
    lane::{Attachment, RetryRow},
    seq::Seq,
    timestamp::Timestamp,
};
use pointsman_journal::{
    AppendError, AttemptRecord, ChangeError, EffectOf, Health, Journal, JournalParts, Notice, SettleError,
    StorageTrouble, StorageUnavailable,
    change::{Change, InstallationWork},
    effects::StagedEffect,
    storage::{
        Batch, ConnectError, Connection, DueRetries, HouseKept, JobError, KeyName, LogReader, Outcome,
        SlowEffects, Storage, StoredKey, WriteJob, Written,
    },
};
use pointsman_simulated_clock::{self as simulated, Clock};
use tokio::sync::oneshot;

/// How a call ends, after so many milliseconds.
#[derive(Clone, Copy, Debug)]
enum CallEnd {
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
struct State {
    writes: VecDeque<CallEnd>,
    changes: VecDeque<CallEnd>,
    /// How every housekeeping ends.
    house: Option<CallEnd>,
    tending_hangs: bool,
    /// How long every new connection takes.
    connecting: Duration,
    /// When each call came, since the start.
    written: Vec<(Duration, usize)>,
    kept: Vec<Duration>,
    tended: usize,
    connected: usize,
    health: Arc<Health>,
}

#[derive(Clone, Debug, Default)]
struct Script(Arc<Mutex<State>>);

impl Script {
    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().expect("no test panics with the lock"))
    }

    /// A journal whose writer is a task of this thread.
    fn open(&self) -> Journal {
        simulated::start_process(1, Timestamp::from_millis(1_800_000_000_000));
        let (journal, writer) = Journal::over(JournalParts {
            storage: Box::new(self.clone()),
            connection: Arc::new(self.clone()),
            last_generation: 0,
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

fn since_start() -> Duration {
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
    async { Err(DbErr::Custom("nobody was to ask".to_owned())) }.boxed()
}

impl Connection for Script {
    fn head(&self, _: WorkspaceId) -> BoxFuture<'_, Result<Seq, DbErr>> {
        async { Ok(Seq::ZERO) }.boxed()
    }

    fn write<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Outcome<Written, DbErr>> {
        let end = self.with(|state| {
            state.written.push((since_start(), batch.appends.len()));
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

    fn keep_house(&self, _: Timestamp) -> BoxFuture<'_, Outcome<HouseKept, DbErr>> {
        let end = self.with(|state| {
            state.kept.push(since_start());
            state.house.unwrap_or(CallEnd::Fine(0))
        });
        end.outcome(HouseKept::Done).boxed()
    }

    fn run_effects<'a>(
        &'a self,
        _: &'a mut [StagedEffect],
        _: &'a mut HashMap<WorkspaceId, Seq>,
    ) -> BoxFuture<'a, Outcome<(), DbErr>> {
        async { Outcome::Unknown }.boxed()
    }

    fn aside(&self) -> Option<Arc<dyn SlowEffects>> {
        None
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

    fn run<'a>(&'a self, _: &'a mut dyn WriteJob) -> BoxFuture<'a, Outcome<(), JobError>> {
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
    fn places_of(&self, _: Vec<EventId>) -> BoxFuture<'_, Result<HashMap<EventId, Seq>, DbErr>> {
        async { Ok(HashMap::new()) }.boxed()
    }

    fn write_attempts<'a>(&'a self, _: &'a [AttemptRecord], _: bool) -> BoxFuture<'a, Outcome<(), DbErr>> {
        async { Outcome::Committed(()) }.boxed()
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

    fn workspaces_with_work(&self, _: Timestamp) -> BoxFuture<'_, Result<Vec<WorkspaceId>, DbErr>> {
        unasked()
    }

    fn earliest_retry_after(&self, _: Timestamp) -> BoxFuture<'_, Result<Option<Timestamp>, DbErr>> {
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

fn workspace() -> WorkspaceId {
    WorkspaceId::new(uuid::Uuid::from_u128(1))
}

fn publish(journal: &Journal) -> oneshot::Receiver<Result<Recorded, AppendError>> {
    ask::append(journal, workspace(), false)
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_has_answered_is_well_whatever_it_said() {
    let script = Script::default();
    let journal = script.open();
    for _ in 0..3 {
        script.with(|state| state.changes = [CallEnd::NotBegun(0), CallEnd::Refused(0)].into());
        let refused = journal.install(workspace(), ask::new_installation()).await;
        assert!(matches!(refused, Err(ChangeError::Conflict(_))), "{refused:?}");
    }
    assert_eq!(script.with(|state| state.connected), 3);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_cannot_begin_is_tried_on_one_more_connection() {
    let script = Script::default();
    let journal = script.open();
    script.with(|state| {
        state.changes = [CallEnd::NotBegun(0), CallEnd::NotBegun(0), CallEnd::Refused(0)].into()
    });
    let refused = journal.install(workspace(), ask::new_installation()).await;
    assert!(
        matches!(refused, Err(ChangeError::StorageUnavailable)),
        "{refused:?}"
    );
    let left = script.with(|state| state.changes.len());
    assert_eq!(left, 1, "there is no third try");
}

#[tokio::test(start_paused = true)]
async fn a_housekeeping_that_cannot_begin_is_done_again_at_once_but_only_once() {
    let script = Script::default();
    script.with(|state| state.house = Some(CallEnd::NotBegun(0)));
    let _journal = script.open();
    sleep(Duration::from_secs(35)).await;
    let kept = script.with(|state| state.kept.iter().map(Duration::as_secs).collect::<Vec<_>>());
    assert_eq!(kept, [10, 10, 20, 30]);
}

/// Publishes until that works. Time passes only while somebody sleeps.
async fn recorded_soon(journal: &Journal) {
    for _ in 0..100 {
        if publish(journal).await.expect("the writer answers").is_ok() {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("it is not recorded");
}

#[tokio::test(start_paused = true)]
async fn a_housekeeping_that_hangs_leaves_publishers_the_time_between_two() {
    let script = Script::default();
    script.with(|state| state.house = Some(CallEnd::Hangs));
    let journal = script.open();
    let (mut recorded, mut asked) = (0, 0);
    while since_start() < Duration::from_secs(60) {
        let answer = publish(&journal).await.unwrap();
        asked += 1;
        recorded += usize::from(answer.is_ok());
        sleep(Duration::from_millis(100)).await;
    }
    let kept = script.with(|state| state.kept.clone());
    // One takes five seconds to be given up, and the next comes ten seconds later.
    assert!((3..=5).contains(&kept.len()), "{kept:?}");
    assert_eq!(
        recorded, asked,
        "each loss is over within the patience of publishers"
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_written_once_more_where_there_is_time() {
    let script = Script::default();
    script.with(|state| state.writes = [CallEnd::Unknown(2_000)].into());
    let journal = script.open();
    assert!(publish(&journal).await.unwrap().is_ok());
    let (written, connected) = script.with(|state| (state.written.len(), state.connected));
    assert_eq!((written, connected), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn without_time_for_a_second_write_the_connection_that_is_well_is_kept() {
    let script = Script::default();
    script.with(|state| {
        state.writes = [CallEnd::Unknown(0)].into();
        state.connecting = Duration::from_millis(2_700);
    });
    let journal = script.open();
    let refused = publish(&journal).await.unwrap();
    assert_eq!(refused, Err(AppendError::Storage(StorageUnavailable)));
    assert!(since_start() <= Duration::from_secs(3), "{:?}", since_start());
    assert!(publish(&journal).await.unwrap().is_ok());
    let (written, connected) = script.with(|state| (state.written.len(), state.connected));
    assert_eq!(
        (written, connected),
        (2, 1),
        "one loss, and no second write of what was refused"
    );
}

#[tokio::test(start_paused = true)]
async fn a_second_write_that_hangs_takes_no_more_than_publishers_have() {
    let script = Script::default();
    script.with(|state| state.writes = [CallEnd::NotBegun(0), CallEnd::Hangs].into());
    let journal = script.open();
    let refused = publish(&journal).await.unwrap();
    assert_eq!(refused, Err(AppendError::Storage(StorageUnavailable)));
    assert!(
        since_start() <= Duration::from_millis(3_100),
        "{:?}",
        since_start()
    );
    recorded_soon(&journal).await;
}

#[tokio::test(start_paused = true)]
async fn settlements_are_written_where_the_appends_of_their_batch_have_no_time_left() {
    let script = Script::default();
    let journal = script.open();
    let installation = InstallationId::new(uuid::Uuid::from_u128(1));
    let generation = journal.attach(installation).await.unwrap().generation;
    script.with(|state| {
        state.writes = [CallEnd::Unknown(0)].into();
        state.connecting = Duration::from_millis(2_700);
    });
    let refused = publish(&journal);
    let settled = ask::settle(&journal, workspace(), installation, generation, Seq::new(1));
    let (refused, settled) = futures_util::future::join(refused, settled).await;
    assert_eq!(refused.unwrap(), Err(AppendError::Storage(StorageUnavailable)));
    assert_eq!(settled, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_comes_with_a_loss_waits_for_what_is_written_once_more() {
    for end in [CallEnd::NotBegun(0), CallEnd::Unknown(0), CallEnd::Unknown(1_000)] {
        let script = Script::default();
        script.with(|state| state.writes = [end].into());
        let journal = script.open();
        // Both wait before the writer begins.
        let answer = publish(&journal);
        journal.stop().await;
        assert!(answer.await.unwrap().is_ok(), "{end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn tending_that_hangs_is_no_outage() {
    let script = Script::default();
    script.with(|state| state.tending_hangs = true);
    let journal = script.open();
    for _ in 0..3 {
        assert!(publish(&journal).await.unwrap().is_ok());
    }
    assert!(since_start() < Duration::from_secs(20), "{:?}", since_start());
    let connected = script.with(|state| state.connected);
    assert_eq!(connected, 0, "the connection is kept");
}

#[tokio::test(start_paused = true)]
async fn a_cycle_ends_as_any_other_where_more_settlements_wait_than_a_transaction_takes() {
    let script = Script::default();
    let journal = script.open();
    let settlements = (0..5_000).map(|number| {
        ask::settle(
            &journal,
            workspace(),
            InstallationId::new(uuid::Uuid::from_u128(1)),
            1,
            Seq::new(number),
        )
    });
    let ends = futures_util::future::join_all(settlements).await;
    // Nobody has attached, so that they are refused: what counts is that they waited.
    assert!(ends.iter().all(|end| *end == Err(SettleError::Fenced)));
    journal.stop().await;
    let tended = script.with(|state| state.tended);
    assert!(tended >= 5, "after each of the batches: {tended}");
}

#[tokio::test(start_paused = true)]
async fn what_is_parted_around_a_culprit_is_recorded_through_a_loss() {
    let script = Script::default();
    // Two are refused together, the first alone is lost before it begins, and both are recorded.
    script.with(|state| state.writes = [CallEnd::Refused(10), CallEnd::NotBegun(10)].into());
    let journal = script.open();
    let answers = [publish(&journal), publish(&journal)];
    for answer in answers {
        assert!(answer.await.unwrap().is_ok());
    }
    let written: Vec<usize> =
        script.with(|state| state.written.iter().map(|(_, appends)| *appends).collect());
    assert_eq!(written[..2], [2, 1]);
    assert_eq!(written[2..].iter().sum::<usize>(), 2, "{written:?}");
}

#[tokio::test(start_paused = true)]
async fn publishers_and_handlers_are_refused_for_want_of_space() {
    let script = Script::default();
    let journal = script.open();
    let health = script.with(|state| Arc::clone(&state.health));
    health.set_disk(Some(StorageTrouble::DiskFull { free_mib: 1 }));
    for derived in [false, true] {
        let answer = ask::append(&journal, workspace(), derived).await;
        assert_eq!(answer.unwrap(), Err(AppendError::Storage(StorageUnavailable)));
    }
    assert!(script.with(|state| state.written.is_empty()));
    simulated::end();
}
