//! Opening the database: the claim, the migrations, the writer's thread.

use std::{io, sync::Arc, time::Duration};

use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement, TransactionTrait};
use tokio::sync::oneshot;

use super::{
    attach,
    claim::{self, FileClaim},
    database::DatabaseUrl,
    disk_watch::DiskWatch,
    effects::Aside,
    engine_clock,
    key_check::{self, MasterKey, Unreadable},
    open_error::OpenError,
    reader::{Gate, Reader},
    recovery,
    session::guard,
    sql_storage::{Parts, SqlReader, SqlStorage},
    work_guard::WorkGuard,
    write_ahead_log::WriteAheadLog,
};
use pointsman_clock::Clock;
use pointsman_journal::{Health, Journal, JournalParts, NoticeSink, StorageTrouble, Writer};

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

/// A database that is open.
#[derive(Debug)]
pub struct Opened {
    pub journal: Journal,
    /// The pool for reads.
    pub reader: Reader,
}

/// Takes the claim, migrates, and starts the writer on a thread of its own.
///
/// # Errors
/// See [`OpenError`]; each says what to do.
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
            }) => {
                let _ended = Ended(health);
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
}

/// Opens the database, on the runtime on which the writer is to run.
async fn start(
    settings: JournalSettings,
    claim: Option<FileClaim>,
    notices: NoticeSink,
    clock: Clock,
) -> Result<Started, OpenError> {
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
    let health = Arc::<Health>::default();
    let (journal, writer) = Journal::over(JournalParts {
        connection: storage.over(connection, work_guard),
        storage: Box::new(storage),
        last_generation,
        log,
        notices,
        health: Arc::clone(&health),
        corrupt,
        clock,
    });
    let watch = DiskWatch::keep(&url, settings.min_free_bytes, Arc::clone(&health)).await;
    Ok(Started {
        opened: Opened { journal, reader },
        writer,
        health,
        _watch: watch,
    })
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
