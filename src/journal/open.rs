//! Opening the database: the claim, the migrations, the writer's thread.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement, TransactionTrait};
use tokio::sync::{mpsc, oneshot};

use super::{
    ChangeError, Journal, attach,
    attempts::AttemptBuffer,
    claim::{self, FileClaim},
    database::DatabaseUrl,
    disk_watch::DiskWatch,
    effects::Aside,
    engine_clock,
    gather::Gathered,
    health::{Health, StorageTrouble},
    idempotency::KeysInProgress,
    key_check::{self, MasterKey, Unreadable},
    notice::NoticeSink,
    reader::{Gate, Reader},
    recovery,
    sql_storage::{Parts, SqlReader, SqlStorage, guard},
    storage::{Connection, LogReader, Storage},
    work_guard::WorkGuard,
    write_ahead_log::WriteAheadLog,
    writer::{Outage, Writer},
};
use pointsman_clock::Clock;

#[derive(Clone, Debug)]
pub struct JournalSettings {
    pub url: DatabaseUrl,
    /// Connections for reads; the writer has its own.
    pub max_connections: u32,
    /// The room on the disk of an embedded database below which events are refused; 0 for no bound.
    pub min_free_bytes: u64,
    /// How long deliveries wait for an installation that is held; before that nobody looks for them.
    pub max_hold: Duration,
    /// Longest time of the writes of an effect.
    pub effect_timeout: Duration,
    /// The key must be the one that the database was used with. None: nothing is sealed or opened, as in the commands
    /// that only write what is not sealed.
    pub master_key: Option<Arc<dyn MasterKey>>,
}

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("another process is using this database; stop it first, or give this one a database of its own")]
    Claimed,
    #[error("the database has been migrated by a newer version of Pointsman ({0}); use that version")]
    Newer(String),
    #[error(
        "{0}: this is not the master key that the database was used with; restore that key from a backup, or, where \
         it is lost, accept this one: pointsman accept-key, with the same --config and environment"
    )]
    AnotherKey(String),
    #[error(
        "the database keeps its texts in {0}, which not every event fits into; make one with \
         CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8'"
    )]
    Encoding(String),
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    #[error("the database cannot be opened: {0}")]
    Database(#[from] DbErr),
    #[error("the installations of in-process extensions cannot be brought up to date: {0}")]
    Extensions(#[from] ChangeError),
    #[error("the journal's thread cannot be started: {0}")]
    Thread(io::Error),
}

impl Journal {
    /// Takes the claim, migrates, and starts the writer on a thread of its own.
    ///
    /// # Errors
    /// See [`OpenError`]; each says what to do.
    pub async fn open(
        settings: JournalSettings,
        notices: NoticeSink,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        let claim = FileClaim::take(&settings.url)?;
        let (opened, answer) = oneshot::channel();
        let run = async move {
            match start(settings, claim, notices, clock).await {
                Err(error) => drop(opened.send(Err(error))),
                Ok((journal, writer, _watch)) => {
                    let _ended = Ended(Arc::clone(&journal.health));
                    if opened.send(Ok(journal)).is_ok() {
                        writer.run().await;
                    }
                }
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(OpenError::Thread)?;
        std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || runtime.block_on(run))
            .map_err(OpenError::Thread)?;
        let closed = || OpenError::Thread(io::Error::other("it ended at once"));
        answer.await.map_err(|_| closed())?
    }

    /// A journal over this storage, and its writer, which is to be run.
    pub(super) fn over(
        writing: Writing,
        database: Reader,
        log: Arc<dyn LogReader>,
        notices: NoticeSink,
        clock: Clock,
    ) -> (Self, Writer) {
        let (commands, receiver) = mpsc::unbounded_channel();
        let health = Arc::<Health>::default();
        let writer = Writer {
            storage: writing.storage,
            commands: receiver,
            notices,
            health: Arc::clone(&health),
            connection: Some(writing.connection),
            gathered: Gathered::default(),
            heads: HashMap::new(),
            generations: HashMap::new(),
            last_generation: writing.last_generation,
            attempts: AttemptBuffer::default(),
            unresolved: None,
            unresolved_effects: Vec::new(),
            aside: None,
            marked: HashSet::new(),
            keys: KeysInProgress::default(),
            outage: Outage::default(),
            turn_began: clock.instant(),
            next_housekeeping: clock.instant() + engine_clock::EVERY,
            clock,
        };
        let journal = Self {
            commands,
            database,
            log,
            health,
            corrupt: Arc::default(),
            clock,
        };
        (journal, writer)
    }
}

/// What a writer starts with.
pub(super) struct Writing {
    pub(super) storage: Box<dyn Storage>,
    pub(super) connection: Arc<dyn Connection>,
    /// The highest generation that any lane has settled under.
    pub(super) last_generation: i64,
}

/// Opens the database, on the runtime on which the writer is to run.
async fn start(
    settings: JournalSettings,
    claim: Option<FileClaim>,
    notices: NoticeSink,
    clock: Clock,
) -> Result<(Journal, Writer, DiskWatch), OpenError> {
    let owner: Arc<str> = format!("pointsman {}", clock.new_uuid()).into();
    let aside = (settings.url.backend() == DbBackend::Postgres)
        .then(|| Arc::new(Aside::new(&settings.url, &owner, settings.effect_timeout, clock)));
    let parts = Parts {
        owner,
        aside,
        write_ahead_log: Arc::default(),
        corrupt: Arc::default(),
        effect_thread: Arc::default(),
        effect_timeout: settings.effect_timeout,
        clock,
        url: settings.url,
    };
    let (connection, work_guard) = prepare(&parts, settings.master_key.as_deref()).await?;
    let last_generation = catch_up(&connection, &parts).await?;
    // Only now: a start that is refused says why in one line.
    claim.iter().for_each(FileClaim::warn_if_shared);
    let gate = Gate::default();
    let parts = Parts {
        write_ahead_log: Arc::new(WriteAheadLog::keep(&parts.url, gate.clone(), parts.clock)),
        ..parts
    };
    let reader = parts.url.reader(settings.max_connections, gate);
    let log = Arc::new(SqlReader {
        database: reader.clone(),
        corrupt: Arc::clone(&parts.corrupt),
        max_hold: settings.max_hold,
    });
    let (url, corrupt) = (parts.url.clone(), Arc::clone(&parts.corrupt));
    let storage = SqlStorage { parts, claim };
    let writing = Writing {
        connection: storage.over(connection, work_guard),
        storage: Box::new(storage),
        last_generation,
    };
    let (journal, writer) = Journal::over(writing, reader, log, notices, clock);
    let watch = DiskWatch::keep(&url, settings.min_free_bytes, Arc::clone(&journal.health)).await;
    Ok((Journal { corrupt, ..journal }, writer, watch))
}

/// Says that there is no storage once the writer has ended, however it ended.
struct Ended(Arc<Health>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.set_writer(Some(StorageTrouble::Ended));
        if std::thread::panicking() {
            log::error!("the journal has panicked; the server cannot accept events and must be restarted");
        }
    }
}

/// Migrates the database and does nothing else: `pointsman migrate`.
///
/// # Errors
/// See [`OpenError`].
pub async fn migrate(url: &DatabaseUrl) -> Result<(), OpenError> {
    alone(url, "pointsman migrate", async |_| Ok(())).await
}

/// Goes on with this key where the former is lost: `pointsman accept-key`. Nothing that was sealed is thrown away.
///
/// # Errors
/// See [`OpenError`].
pub async fn accept_key(url: &DatabaseUrl, key: &dyn MasterKey) -> Result<Unreadable, OpenError> {
    let accept = async |connection: &DatabaseConnection| key_check::accept(connection, key).await;
    alone(url, "pointsman accept-key", accept).await
}

/// Does something with a database of this version while nobody else uses it.
async fn alone<T>(
    url: &DatabaseUrl,
    owner: &str,
    work: impl AsyncFnOnce(&DatabaseConnection) -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    let _claim = FileClaim::take(url)?;
    let parts = Parts {
        url: url.clone(),
        owner: owner.into(),
        write_ahead_log: Arc::default(),
        corrupt: Arc::default(),
        effect_thread: Arc::default(),
        effect_timeout: Duration::ZERO,
        aside: None,
        clock: Clock,
    };
    let (connection, _) = prepare(&parts, None).await?;
    let done = work(&connection).await?;
    claim::release(&connection).await;
    connection.close().await?;
    Ok(done)
}

/// A connection that holds the claim, to a database of this version that is used with this key.
async fn prepare(
    parts: &Parts,
    key: Option<&dyn MasterKey>,
) -> Result<(DatabaseConnection, WorkGuard), OpenError> {
    let work_guard = WorkGuard::new(parts.clock);
    let connection = parts.url.writer(&parts.owner, &work_guard).await?;
    refuse_encoding(&connection).await?;
    claim::take_on(&connection).await?;
    if let Err(refused) = migrate_on(&connection, key).await {
        // So that SQLite leaves no log behind; why it is refused is worth more than what fails now.
        let _ = connection.close().await;
        return Err(refused);
    }
    Ok((connection, work_guard))
}

/// Each migration is a transaction of its own, with its row in `seaql_migrations`: a process that is killed leaves
/// all of one or nothing of it, and the next start goes on from there.
///
/// Where the database is used with another key nothing is migrated: the version that was there before can go on.
pub(super) async fn migrate_on(
    connection: &DatabaseConnection,
    key: Option<&dyn MasterKey>,
) -> Result<(), OpenError> {
    refuse_newer(connection).await?;
    let Some(key) = key else {
        return Ok(Migrator::up(connection, None).await?);
    };
    let found = key_check::look(connection, key).await?;
    Migrator::up(connection, None).await?;
    key_check::check(connection, key, found).await
}

/// Puts right what a clock or a damaged file has left behind, before anything is written. Returns the highest
/// generation.
async fn catch_up(connection: &DatabaseConnection, parts: &Parts) -> Result<i64, OpenError> {
    let now = parts.clock.now();
    let transaction = connection.begin().await?;
    engine_clock::catch_up(&transaction, now).await?;
    transaction.commit().await?;
    attach::repair_cursors(connection, &parts.corrupt).await?;
    let last_generation = recovery::last_generation(connection).await?;
    guard(connection).await?;
    Ok(last_generation)
}

/// A database of PostgreSQL keeps all of its texts in one encoding. What has no place in that is refused by a
/// statement that comes much later; `SQL_ASCII` keeps bytes, and knows no characters. The driver's side is UTF-8
/// always, and SQLite's encodings hold the same characters.
async fn refuse_encoding(connection: &DatabaseConnection) -> Result<(), OpenError> {
    if connection.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    let statement = Statement::from_string(DbBackend::Postgres, "SHOW server_encoding");
    let row = connection.query_one_raw(statement).await?;
    match row.map(|row| row.try_get_by_index::<String>(0)).transpose()? {
        Some(encoding) if encoding != "UTF8" => Err(OpenError::Encoding(encoding)),
        _ => Ok(()),
    }
}

async fn refuse_newer(connection: &DatabaseConnection) -> Result<(), OpenError> {
    Migrator::install(connection).await?;
    let backend = connection.get_database_backend();
    let statement = Statement::from_string(backend, "SELECT version FROM seaql_migrations");
    let known: Vec<String> = Migrator::migrations()
        .iter()
        .map(|migration| migration.name().to_owned())
        .collect();
    for row in connection.query_all_raw(statement).await? {
        let version: String = row.try_get("", "version")?;
        if !known.contains(&version) {
            return Err(OpenError::Newer(version));
        }
    }
    Ok(())
}
