//! A separate database for each test, and shorthands for commands to the journal.

use std::{
    ops::Deref,
    sync::{Arc, Mutex},
    time::Duration,
};

use pointsman_journal::{
    Admission, Append, AppendError, ChangeError, Journal, LetterCommand, Notice, Permit, SettleCommand,
    SettleError, WorkspaceAdmission,
};
use pointsman_test_databases::ScratchDatabase;
use sea_orm::{ConnectionTrait, DatabaseConnection};
use tokio::sync::oneshot;

use crate::{
    DatabaseUrl, JournalSettings, OpenError, Reader, Readers, RetentionPass, RetentionSettings,
    RetentionState, open,
};
use pointsman_clock::Clock;
use pointsman_domain::{
    attempt::{DeadLetterReason, DeliveryKind},
    event::{NewEvent, PlatformEvent},
    event_key::EventKey,
    id::{DeadLetterId, EventId, InstallationId, WorkspaceId},
    idempotency::{Idempotency, Recorded},
    installation::{DeliveryType, NewInstallation},
    lane::{DeliveryKey, GivenUp, LetterChange},
    seq::Seq,
    timestamp::Timestamp,
};

/// Two tests out of one, `name::on_sqlite` and `name::on_postgres`.
macro_rules! on_both_engines {
    (async fn $name:ident($scratch:ident: Scratch) $body:block) => {
        mod $name {
            use super::*;

            async fn run($scratch: Scratch) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                run(Scratch::sqlite()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                run(Scratch::postgres().await).await;
            }
        }
    };
}
pub(crate) use on_both_engines;

/// So long that no test depends on the speed of its machine.
const EFFECT_TIMEOUT: Duration = Duration::from_secs(60);

/// A database of one test, and the notices that its journal has sent.
pub(crate) struct Scratch {
    database: ScratchDatabase,
    notices: Arc<Mutex<Vec<Notice>>>,
    /// See [`JournalSettings`].
    pub(crate) effect_timeout: Duration,
}

/// Tests write rows of any age.
const FOR_EVER: RetentionSettings = {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    RetentionSettings {
        events: CENTURY,
        attempts: CENTURY,
        dead_letters: CENTURY,
        chat_messages: CENTURY,
        max_bytes: None,
    }
};

/// An open journal, and the pool for reads.
#[derive(Clone, Debug)]
pub(crate) struct OpenJournal {
    journal: Journal,
    readers: Readers,
    retention: Arc<RetentionState>,
}

impl Deref for OpenJournal {
    type Target = Journal;

    fn deref(&self) -> &Journal {
        &self.journal
    }
}

impl OpenJournal {
    pub(crate) fn readers(&self) -> &Readers {
        &self.readers
    }

    /// What the first pass of retention has done, once it has ended.
    pub(crate) async fn first_pass(&self) -> RetentionPass {
        let mut passes = self.retention.passes();
        let passed = passes.wait_for(Option::is_some);
        let passed = tokio::time::timeout(Duration::from_secs(60), passed).await;
        passed.unwrap().unwrap().clone().unwrap()
    }

    /// Returns once nothing is left of so many workspaces that were deleted.
    pub(crate) async fn are_gone(&self, workspaces: u64) {
        let mut gone = self.retention.deleted_workspaces();
        let gone = gone.wait_for(|count| *count >= workspaces);
        let gone = tokio::time::timeout(Duration::from_secs(60), gone).await;
        assert!(
            gone.is_ok_and(|gone| gone.is_ok()),
            "they are gone within a minute"
        );
    }

    /// Nothing is deleted by its age before this time.
    pub(crate) fn prunes_from(&self) -> Timestamp {
        self.retention.from()
    }

    pub(crate) fn reader(&self) -> &Reader {
        &self.readers.queries
    }
}

impl Scratch {
    fn over(database: ScratchDatabase) -> Self {
        Self {
            database,
            notices: Arc::default(),
            effect_timeout: EFFECT_TIMEOUT,
        }
    }

    pub(crate) fn sqlite() -> Self {
        Self::over(ScratchDatabase::sqlite())
    }

    pub(crate) async fn postgres() -> Self {
        Self::over(ScratchDatabase::postgres().await)
    }

    /// Another database of the same engine.
    pub(crate) async fn another(&self) -> Self {
        Self::over(self.database.another().await)
    }

    pub(crate) fn settings(&self) -> JournalSettings {
        JournalSettings {
            url: DatabaseUrl::parse(self.database.url()).unwrap(),
            max_connections: 4,
            min_free_bytes: 0,
            max_hold: Duration::from_secs(86_400),
            master_key: None,
            retention: FOR_EVER,
            progress: Arc::default(),
            effect_timeout: self.effect_timeout,
        }
    }

    pub(crate) async fn open(&self) -> OpenJournal {
        self.open_with(self.settings()).await
    }

    pub(crate) async fn open_with(&self, settings: JournalSettings) -> OpenJournal {
        self.try_open(settings).await.unwrap()
    }

    pub(crate) async fn try_open(&self, settings: JournalSettings) -> Result<OpenJournal, OpenError> {
        let notices = Arc::clone(&self.notices);
        let sink = Box::new(move |notice| notices.lock().unwrap().push(notice));
        let opened = open(settings, sink, Clock).await?;
        Ok(OpenJournal {
            journal: opened.journal,
            readers: opened.readers,
            retention: opened.retention,
        })
    }

    /// Another connection to the database, as from a client program.
    pub(crate) async fn client(&self) -> DatabaseConnection {
        self.database.client().await
    }

    pub(crate) fn workspace(&self) -> WorkspaceId {
        WorkspaceId::new(Clock.new_uuid())
    }

    pub(crate) async fn installed(&self, journal: &Journal, key: &str) -> (WorkspaceId, InstallationId) {
        let workspace = self.workspace();
        let view = journal.install(workspace, new_installation(key)).await.unwrap();
        (workspace, view.id())
    }

    /// How often the writer's connection was replaced.
    pub(crate) fn reconnected(&self) -> usize {
        let is_reconnected = |notice: &&Notice| matches!(notice, Notice::Reconnected);
        self.notices.lock().unwrap().iter().filter(is_reconnected).count()
    }

    /// The events of each notice of a commit that was answered before this call. The journal answers before it sends
    /// the notice, and handles a later command after both; the empty change here is such a command.
    pub(crate) async fn committed(&self, journal: &Journal) -> Vec<Vec<Arc<PlatformEvent>>> {
        journal
            .write(|_| Box::pin(async { Ok(((), Vec::new())) }))
            .await
            .unwrap();
        let events = |notice: &Notice| match notice {
            Notice::Committed { events, .. } => Some(events.clone()),
            _ => None,
        };
        self.notices.lock().unwrap().iter().filter_map(events).collect()
    }

    /// Cuts the writer's connection: on PostgreSQL by terminating its backend, on SQLite by a job that fails with the
    /// error of a broken disk.
    pub(crate) async fn cut_connections(&self, journal: &OpenJournal) {
        if self.database.is_sqlite() {
            let broken: Result<(), _> = journal
                .write(|_| {
                    Box::pin(async {
                        Err(ChangeError::Database(sea_orm::DbErr::Conn(
                            sea_orm::RuntimeErr::Internal("cut".to_owned()),
                        )))
                    })
                })
                .await;
            assert!(broken.is_err());
            return;
        }
        end_sessions(journal, "").await;
    }

    /// Cuts the writer's connection on PostgreSQL, but not the connection for slow effects.
    pub(crate) async fn cut_writer(&self, journal: &OpenJournal) {
        end_sessions(
            journal,
            "AND (classid::BIGINT << 32) | objid::BIGINT = 8101810177783852398",
        )
        .await;
    }
}

/// Terminates the sessions that hold a lock of the claim.
async fn end_sessions(journal: &OpenJournal, which: &str) {
    let sql = format!(
        "SELECT pg_terminate_backend(pid, 30000) FROM pg_locks WHERE locktype = 'advisory' AND \
         database = (SELECT oid FROM pg_database WHERE datname = current_database()) {which}"
    );
    // Readers hold no such lock, so that the connection of this statement survives.
    let ended = journal
        .reader()
        .query_all_raw(sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, sql))
        .await
        .unwrap();
    assert!(!ended.is_empty(), "there is such a session");
}

pub(crate) fn new_event() -> NewEvent {
    NewEvent {
        id: EventId::new(Clock.new_uuid()),
        event_key: EventKey::parse("a.b").unwrap(),
        schema_version: None,
        actor: None,
        payload: "{}".into(),
        occurred_at: Clock.now(),
        traceparent: None,
        cause: None,
    }
}

pub(crate) fn new_installation(key: &str) -> NewInstallation {
    NewInstallation {
        id: InstallationId::new(Clock.new_uuid()),
        key: key.to_owned(),
        name: key.to_owned(),
        delivery_type: DeliveryType::ExternalService,
        service_base_url: Some("http://127.0.0.1:1".to_owned()),
        signing_secret: String::new(),
        headers: String::new(),
        enabled: true,
        subscriptions: Vec::new(),
    }
}

fn permit() -> Permit {
    Admission::new(4)
        .admit(&WorkspaceAdmission::default(), 1)
        .unwrap()
}

/// Sends an append. The receiver gets its answer.
pub(crate) fn append(
    journal: &Journal,
    workspace_id: WorkspaceId,
    events: Vec<NewEvent>,
) -> oneshot::Receiver<Result<Recorded, AppendError>> {
    append_under(journal, workspace_id, events, None)
}

/// Appends events until one is accepted: the database is back.
pub(crate) async fn append_when_it_is_back(journal: &Journal, workspace: WorkspaceId) {
    let recovered = async {
        while append(journal, workspace, vec![new_event()])
            .await
            .map(|answer| answer.is_ok())
            != Ok(true)
        {
            tokio::task::yield_now().await;
        }
    };
    let patience = Duration::from_secs(30);
    tokio::time::timeout(patience, recovered).await.unwrap();
}

/// Sends an append under an idempotency key.
pub(crate) fn append_under(
    journal: &Journal,
    workspace_id: WorkspaceId,
    events: Vec<NewEvent>,
    idempotency: Option<Idempotency>,
) -> oneshot::Receiver<Result<Recorded, AppendError>> {
    let (reply, answer) = oneshot::channel();
    journal.append(Append {
        latch: None,
        workspace_id,
        events,
        idempotency,
        reply,
        derived: false,
        permit: Some(permit()),
    });
    answer
}

/// Sends an append of a handler.
pub(crate) fn append_derived(
    journal: &Journal,
    workspace_id: WorkspaceId,
    events: Vec<NewEvent>,
) -> oneshot::Receiver<Result<Recorded, AppendError>> {
    let (reply, answer) = oneshot::channel();
    journal.append(Append {
        latch: None,
        workspace_id,
        events,
        idempotency: None,
        reply,
        derived: true,
        permit: None,
    });
    answer
}

/// The key `key` of a publish whose body is told from others by `body`.
pub(crate) fn key(key: &str, body: u8) -> Option<Idempotency> {
    Some(Idempotency {
        key: key.into(),
        body_sha256: [body; 32],
    })
}

/// Changes rows directly, without the journal's rules.
pub(crate) async fn execute_directly(journal: &Journal, sql: impl Into<String>) {
    let sql = sql.into();
    journal
        .write(move |transaction| {
            Box::pin(async move {
                transaction.execute_unprepared(&sql).await?;
                Ok(((), Vec::new()))
            })
        })
        .await
        .unwrap();
}

pub(crate) async fn settle(
    journal: &Journal,
    workspace_id: WorkspaceId,
    installation_id: InstallationId,
    generation: i64,
    settled: Seq,
    fill: impl FnOnce(&mut SettleCommand),
) -> Result<(), SettleError> {
    let (reply, answer) = oneshot::channel();
    let mut command = SettleCommand {
        workspace_id,
        installation_id,
        generation,
        settled,
        park: Vec::new(),
        remove: Vec::new(),
        letters: Vec::new(),
        attempts: Vec::new(),
        reply,
    };
    fill(&mut command);
    journal.settle(command);
    answer.await.unwrap()
}

/// Blocks the writer until the sender is dropped, so that commands that are sent meanwhile form one batch.
pub(crate) async fn hold(journal: &Journal) -> oneshot::Sender<()> {
    let (gate, opened) = oneshot::channel::<()>();
    let (started, has_started) = oneshot::channel();
    let journal = journal.clone();
    tokio::spawn(async move {
        journal
            .write(move |_| {
                Box::pin(async move {
                    started.send(()).unwrap();
                    let _ = opened.await;
                    Ok(((), Vec::new()))
                })
            })
            .await
            .unwrap();
    });
    has_started.await.unwrap();
    gate
}

/// The letter of a delivery that is given up.
pub(crate) fn letter_of(id: DeadLetterId, given_up: GivenUp, at: Timestamp) -> LetterCommand {
    LetterCommand {
        id,
        extension_key: "crm".into(),
        change: LetterChange::GivenUp(Box::new(given_up)),
        at,
    }
}

/// Gives up the live delivery of the event at `seq`; its dead letter gets the id `letter`.
pub(crate) async fn give_up(
    journal: &Journal,
    workspace: WorkspaceId,
    installation: InstallationId,
    seq: Seq,
    letter: DeadLetterId,
) {
    let events = journal.page(workspace, seq.prev(), seq, 1).await.unwrap();
    let generation = journal.attach(installation).await.unwrap().generation;
    let given_up = GivenUp {
        event: Arc::clone(&events[0]),
        settled: seq,
        key: DeliveryKey {
            kind: DeliveryKind::Live,
            event_id: events[0].id,
            handler: pointsman_domain::handler_name::HandlerName::WHOLE,
        },
        reason: DeadLetterReason::Gone,
        attempts: 1,
        last_status: None,
        last_error: None,
        dead_letter_id: None,
    };
    settle(journal, workspace, installation, generation, seq, |command| {
        command.letters.push(letter_of(letter, given_up, Clock.now()));
    })
    .await
    .unwrap();
}

/// The column `entry` of the rows that the query finds.
pub(crate) async fn texts(journal: &OpenJournal, sql: &str) -> Vec<String> {
    let backend = journal.reader().get_database_backend();
    let rows = journal
        .reader()
        .query_all_raw(sea_orm::Statement::from_string(backend, sql))
        .await
        .unwrap();
    rows.iter().map(|row| row.try_get("", "entry").unwrap()).collect()
}

/// All positions of the workspace's log.
pub(crate) async fn positions(journal: &Journal, workspace: WorkspaceId) -> Vec<i64> {
    let all = journal
        .page(workspace, Seq::ZERO, Seq::new(i64::MAX), 100_000)
        .await
        .unwrap();
    all.iter().map(|event| event.seq.get()).collect()
}
