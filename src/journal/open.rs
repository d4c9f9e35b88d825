//! Opening the database: the claim, the migrations, the writer's thread.

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, Statement};
use tokio::sync::{mpsc, oneshot};

use super::{
    Journal,
    attempts::AttemptBuffer,
    claim::FileClaim,
    database::DatabaseUrl,
    gather::Gathered,
    notice::NoticeSink,
    recovery,
    sql_storage::{SqlReader, SqlStorage, connect},
    storage::{Connection, LogReader, Storage},
    write_ahead_log::WriteAheadLog,
    writer::Writer,
};
use crate::clock::Clock;

#[derive(Clone, Debug)]
pub struct JournalSettings {
    pub url: DatabaseUrl,
    /// Connections for reads; the writer has its own.
    pub max_connections: u32,
}

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("another process is using this database; stop it first, or give this one a database of its own")]
    Claimed,
    #[error("the database has been migrated by a newer version of Pointsman ({0}); use that version")]
    Newer(String),
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    #[error("the database cannot be opened: {0}")]
    Database(#[from] DbErr),
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
            let (connection, last_generation) = match prepare(&settings.url).await {
                Ok(prepared) => prepared,
                Err(error) => return drop(opened.send(Err(error))),
            };
            let reader = settings.url.reader(settings.max_connections);
            let storage = SqlStorage {
                write_ahead_log: Arc::new(WriteAheadLog::keep(&settings.url)),
                url: settings.url,
                claim,
                clock,
            };
            let writing = Writing {
                connection: storage.over(connection),
                storage: Box::new(storage),
                last_generation,
            };
            let (journal, writer) = Self::over(
                writing,
                reader.clone(),
                Arc::new(SqlReader(reader)),
                notices,
                clock,
            );
            let _gone = Gone(Arc::clone(&journal.storage_ok));
            if opened.send(Ok(journal)).is_ok() {
                writer.run().await;
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
        database: DatabaseConnection,
        log: Arc<dyn LogReader>,
        notices: NoticeSink,
        clock: Clock,
    ) -> (Self, Writer) {
        let (commands, receiver) = mpsc::unbounded_channel();
        let storage_ok = Arc::new(AtomicBool::new(true));
        let writer = Writer {
            storage: writing.storage,
            commands: receiver,
            notices,
            storage_ok: Arc::clone(&storage_ok),
            connection: Some(writing.connection),
            gathered: Gathered::default(),
            heads: HashMap::new(),
            generations: HashMap::new(),
            last_generation: writing.last_generation,
            attempts: AttemptBuffer::default(),
            unresolved: None,
            clock,
        };
        let journal = Self {
            commands,
            database,
            log,
            storage_ok,
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

/// Says that there is no storage once the writer has ended, however it ended.
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
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
    let _claim = FileClaim::take(url)?;
    let (connection, _) = prepare(url).await?;
    super::claim::release(&connection).await;
    connection.close().await?;
    Ok(())
}

async fn prepare(url: &DatabaseUrl) -> Result<(DatabaseConnection, i64), OpenError> {
    let connection = connect(url).await?;
    refuse_newer(&connection).await?;
    Migrator::up(&connection, None).await?;
    let last_generation = recovery::last_generation(&connection).await?;
    Ok((connection, last_generation))
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
