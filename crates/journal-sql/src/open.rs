//! Opening the database: the claim, the migrations, the writer's thread.

use std::{io, sync::Arc, time::Duration};

use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement, TransactionTrait};
use tokio::sync::oneshot;

use super::{
    claim::{self, FileClaim},
    database::DatabaseUrl,
    disk_watch::DiskWatch,
    effects::SlowEffectsConnection,
    engine_clock,
    key_check::{self, MasterKey, Unreadable},
    migrating::{self, MigrationProgress},
    open_error::OpenError,
    reader::{Gate, Readers},
    recovery,
    retention::{self, Retention, RetentionSettings, RetentionState},
    schema_version::{SchemaVersion, schema_version},
    session::set_timeouts,
    sql_storage::{SqlReader, SqlStorage, WriterParts},
    work_guard::WorkGuard,
    workspace_deletion,
    write_ahead_log::WriteAheadLog,
};
use pointsman_clock::Clock;
use pointsman_domain::{id::WorkspaceId, timestamp::Timestamp};
use pointsman_journal::{Health, Journal, JournalParts, NoticeSink, StorageTrouble, Writer};

/// The database, and the limits of the journal.
#[derive(Clone, Debug)]
pub struct JournalSettings {
    pub url: DatabaseUrl,
    /// Connections for reads, of which a quarter is for queries and a quarter for access; the writer has its own.
    pub max_connections: u32,
    /// Free bytes on the disk of an embedded database below which events are refused; 0 for no bound.
    pub min_free_bytes: u64,
    /// How long deliveries wait for an installation that is held. Before that time the installation does not count as
    /// work.
    pub max_hold: Duration,
    /// Longest time that the writes of an effect may take.
    pub effect_timeout: Duration,
    /// Must be the key that the database was used with. None for commands that neither seal nor open secrets: then
    /// the key is not checked.
    pub master_key: Option<Arc<dyn MasterKey>>,
    /// How long things are kept.
    pub retention: RetentionSettings,
    /// Is told how far the database is migrated while it is being opened.
    pub progress: Arc<MigrationProgress>,
}

/// An open database.
#[derive(Debug)]
pub struct Opened {
    pub journal: Journal,
    /// The pools for reads.
    pub readers: Readers,
    /// What was deleted because of its age.
    pub retention: Arc<RetentionState>,
}

/// Takes the claim, migrates, and starts the writer on a thread of its own.
///
/// # Errors
/// See [`OpenError`]; each text says what to do.
pub async fn open(settings: JournalSettings, notices: NoticeSink, clock: Clock) -> Result<Opened, OpenError> {
    let claim = FileClaim::take(&settings.url)?;
    let (opened, answer) = oneshot::channel();
    let run = async move {
        match start(settings, claim, notices, clock).await {
            Err(error) => drop(opened.send(Err(error))),
            Ok(Started {
                opened: journal,
                writer,
                health,
                _watch,
                _retention,
            }) => {
                let _ended = WriterEnded(health);
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

/// What runs on the journal's thread.
struct Started {
    opened: Opened,
    writer: Writer,
    health: Arc<Health>,
    _watch: DiskWatch,
    _retention: Retention,
}

/// Opens the database, on the runtime on which the writer is to run.
async fn start(
    settings: JournalSettings,
    claim: Option<FileClaim>,
    notices: NoticeSink,
    clock: Clock,
) -> Result<Started, OpenError> {
    let owner: Arc<str> = format!("pointsman {}", clock.new_uuid()).into();
    let slow_effects = (settings.url.backend() == DbBackend::Postgres).then(|| {
        Arc::new(SlowEffectsConnection::new(
            &settings.url,
            &owner,
            settings.effect_timeout,
            clock,
        ))
    });
    let parts = WriterParts {
        owner,
        slow_effects,
        write_ahead_log: Arc::default(),
        corrupt: Arc::default(),
        effect_thread: Arc::default(),
        deletions: Arc::default(),
        effect_timeout: settings.effect_timeout,
        clock,
        url: settings.url,
    };
    let key = settings.master_key.as_deref();
    let (connection, work_guard) = prepare(&parts, key, &settings.progress).await?;
    let Begun {
        last_generation,
        deleted,
        prune_from,
    } = begin(&connection, &parts).await?;
    // Not earlier: a start that is refused logs only why it is refused.
    claim.iter().for_each(FileClaim::warn_if_shared);
    let gate = Gate::default();
    let parts = WriterParts {
        write_ahead_log: Arc::new(WriteAheadLog::start(&parts.url, gate.clone(), parts.clock)),
        ..parts
    };
    let readers = parts.url.readers(settings.max_connections, &gate, parts.clock);
    let log = Arc::new(SqlReader {
        readers: readers.clone(),
        corrupt: Arc::clone(&parts.corrupt),
        max_hold: settings.max_hold,
    });
    let (url, corrupt, deletions) = (
        parts.url.clone(),
        Arc::clone(&parts.corrupt),
        Arc::clone(&parts.deletions),
    );
    let storage = SqlStorage { parts, claim };
    let health = Arc::<Health>::default();
    let (journal, writer) = Journal::over(JournalParts {
        connection: storage.over(connection, work_guard),
        storage: Box::new(storage),
        last_generation,
        deleted,
        log,
        notices,
        health: Arc::clone(&health),
        corrupt,
        clock,
    });
    let state = Arc::new(RetentionState::new(prune_from));
    let retention = Retention::start(retention::Parts {
        settings: settings.retention,
        reader: readers.planner.clone(),
        pruner: journal.pruner(),
        state: Arc::clone(&state),
        deletions,
        clock,
    })
    .map_err(OpenError::Thread)?;
    let watch = DiskWatch::start(&url, settings.min_free_bytes, Arc::clone(&health)).await;
    Ok(Started {
        opened: Opened {
            journal,
            readers,
            retention: state,
        },
        writer,
        health,
        _watch: watch,
        _retention: retention,
    })
}

/// Reports the storage as ended when the writer has ended, also after a panic.
struct WriterEnded(Arc<Health>);

impl Drop for WriterEnded {
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
    with_claim(url, "pointsman migrate", async |_| Ok(())).await
}

/// Accepts this master key in place of a lost one: `pointsman accept-key`. Keeps every sealed text.
///
/// # Errors
/// See [`OpenError`].
pub async fn accept_key(url: &DatabaseUrl, key: &dyn MasterKey) -> Result<Unreadable, OpenError> {
    let accept = async |connection: &DatabaseConnection| key_check::accept(connection, key).await;
    with_claim(url, "pointsman accept-key", accept).await
}

/// Takes the claim, migrates, runs `work` and gives the claim back.
async fn with_claim<T>(
    url: &DatabaseUrl,
    owner: &str,
    work: impl AsyncFnOnce(&DatabaseConnection) -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    let _claim = FileClaim::take(url)?;
    let parts = WriterParts {
        url: url.clone(),
        owner: owner.into(),
        write_ahead_log: Arc::default(),
        corrupt: Arc::default(),
        effect_thread: Arc::default(),
        deletions: Arc::default(),
        effect_timeout: Duration::ZERO,
        slow_effects: None,
        clock: Clock,
    };
    let (connection, _) = prepare(&parts, None, &Arc::default()).await?;
    let done = work(&connection).await?;
    claim::release(&connection).await;
    connection.close().await?;
    Ok(done)
}

/// Connects, takes the claim, checks the key and migrates. Returns the writer connection.
async fn prepare(
    parts: &WriterParts,
    key: Option<&dyn MasterKey>,
    progress: &Arc<MigrationProgress>,
) -> Result<(DatabaseConnection, WorkGuard), OpenError> {
    let work_guard = WorkGuard::new(parts.clock);
    let connection = parts.url.writer(&parts.owner, &work_guard).await?;
    refuse_encoding(&connection).await?;
    claim::take_at_start(&connection).await?;
    if let Err(refused) = migrate_on(&connection, key, progress, parts.clock).await {
        // Closing lets SQLite delete its write-ahead log. An error of that is dropped: the refusal says more.
        let _ = connection.close().await;
        return Err(refused);
    }
    Ok((connection, work_guard))
}

/// A process that is killed leaves each migration either complete or absent, and of the work in pieces a part. The next
/// start continues from there.
///
/// Migrates nothing where the database was used with another key, so that the earlier version can still use it.
pub(super) async fn migrate_on(
    connection: &DatabaseConnection,
    key: Option<&dyn MasterKey>,
    progress: &Arc<MigrationProgress>,
    clock: Clock,
) -> Result<(), OpenError> {
    refuse_newer(connection).await?;
    let Some(key) = key else {
        return Ok(migrating::migrate(connection, progress, clock).await?);
    };
    let found = key_check::check_before_migrations(connection, key).await?;
    migrating::migrate(connection, progress, clock).await?;
    key_check::check_after_migrations(connection, key, found).await
}

/// Repairs stored times after the clock was set back, and counts the start, before anything is written.
async fn begin(connection: &DatabaseConnection, parts: &WriterParts) -> Result<Begun, OpenError> {
    let now = parts.clock.now();
    let transaction = connection.begin().await?;
    let prune_from = engine_clock::prune_from(&transaction, now).await?;
    engine_clock::correct_stored_times(&transaction, now).await?;
    let prune_from = prune_from.store(&transaction).await?;
    let last_generation = recovery::begin_generations(&transaction).await?;
    let deleted = workspace_deletion::unfinished(&transaction).await?;
    transaction.commit().await?;
    set_timeouts(connection).await?;
    Ok(Begun {
        last_generation,
        deleted,
        prune_from,
    })
}

/// What a start begins with.
struct Begun {
    /// The generation before the first one of this start.
    last_generation: i64,
    /// The workspaces that are deleted and of which rows are left.
    deleted: Vec<WorkspaceId>,
    /// Nothing is deleted by its age before this time.
    prune_from: Timestamp,
}

/// Refuses a PostgreSQL database whose encoding is not UTF-8. In another encoding the INSERT of an event fails where
/// its text has a character that the encoding lacks; `SQL_ASCII` stores bytes without checking them. The driver always
/// speaks UTF-8. Each of SQLite's encodings holds every Unicode character.
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

/// Refuses a database with a migration that this version does not have.
async fn refuse_newer(connection: &DatabaseConnection) -> Result<(), OpenError> {
    Migrator::install(connection).await?;
    match schema_version(connection).await? {
        SchemaVersion::Newer(version) => Err(OpenError::Newer(version)),
        SchemaVersion::Current | SchemaVersion::Older | SchemaVersion::Foreign => Ok(()),
    }
}
