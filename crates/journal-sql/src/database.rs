//! Connections to the database, on both engines.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use futures_util::future::BoxFuture;
use sea_orm::{
    DatabaseConnection, DbBackend, DbErr, RuntimeErr, SqlxError,
    sqlx::{
        ConnectOptions, Database, Postgres, Sqlite,
        pool::{PoolConnectionMetadata, PoolOptions},
        postgres::{PgConnectOptions, PgPoolOptions},
        sqlite::{
            SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
        },
    },
};

use super::{
    claim::part::Part,
    reader::{Gate, Reader},
    work_guard::WorkGuard,
    write_ahead_log::frames::BOUND_BYTES,
};

/// Prepared statements of a connection that are kept: the writer has some 50 texts for each table that it fills.
const STATEMENTS: usize = 256;
/// How long a connection may take to be made, and a reader to wait for one.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// A session of PostgreSQL notices within seconds that this machine is gone.
const SESSION: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "10000"),
];

/// A reader's statement goes on no longer on the server than anybody waits for it, and is planned for its own
/// values: a plan for all of them would be chosen while the tables were small. Statistics are older than a
/// backlog that grows fast: a planner that believes it to be ten rows would collect and sort a million of them
/// for each page, instead of walking along the index.
const READER_SESSION: [(&str, &str); 4] = [
    ("statement_timeout", "6000"),
    ("default_transaction_read_only", "on"),
    ("plan_cache_mode", "force_custom_plan"),
    ("enable_bitmapscan", "off"),
];

/// Where the database is: `sqlite://path` or `postgres://…`.
#[derive(Clone, Debug)]
pub enum DatabaseUrl {
    Sqlite(Box<SqliteConnectOptions>),
    Postgres(Box<PgConnectOptions>),
}

/// Where the links lead, whether that exists or not. SQLite names the files beside a database after it, so that the
/// lock and whoever looks at the log must, too.
fn followed(path: &Path) -> PathBuf {
    const MOST_LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        // An error where it is no link.
        let Ok(target) = std::fs::read_link(&path) else {
            break;
        };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    path
}

impl DatabaseUrl {
    /// # Errors
    /// When the URL cannot be read, in words for a person.
    pub fn parse(url: &str) -> Result<Self, String> {
        if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url).map_err(|error| error.to_string())?;
            let file = followed(options.get_filename());
            Ok(Self::Sqlite(Box::new(
                options
                    .filename(file)
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(Duration::from_secs(5))
                    .statement_cache_capacity(STATEMENTS)
                    .disable_statement_logging(),
            )))
        } else {
            let options = PgConnectOptions::from_str(url).map_err(|error| error.to_string())?;
            Ok(Self::Postgres(Box::new(
                options
                    .application_name("pointsman")
                    .statement_cache_capacity(STATEMENTS)
                    .disable_statement_logging(),
            )))
        }
    }

    pub const fn backend(&self) -> DbBackend {
        match self {
            Self::Sqlite(_) => DbBackend::Sqlite,
            Self::Postgres(_) => DbBackend::Postgres,
        }
    }

    /// The file of an embedded database.
    pub fn file(&self) -> Option<PathBuf> {
        match self {
            Self::Sqlite(options) => Some(options.get_filename().to_owned()),
            Self::Postgres(_) => None,
        }
    }

    /// The pool for reads, which go through the gate.
    pub(super) fn reader(&self, max_connections: u32, gate: Gate) -> Reader {
        let pool = match self {
            Self::Sqlite(options) => SqlitePoolOptions::new()
                .max_connections(max_connections)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .test_before_acquire(false)
                .connect_lazy_with((**options).clone().pragma("query_only", "on"))
                .into(),
            Self::Postgres(options) => PgPoolOptions::new()
                .max_connections(max_connections)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .connect_lazy_with((**options).clone().options(SESSION).options(READER_SESSION))
                .into(),
        };
        Reader::over(pool, gate)
    }

    /// The connection that copies SQLite's write-ahead log into the database file.
    pub(super) fn checkpointer(&self) -> Option<DatabaseConnection> {
        match self {
            Self::Sqlite(options) => Some(
                SqlitePoolOptions::new()
                    .max_connections(1)
                    .acquire_timeout(ACQUIRE_TIMEOUT)
                    .connect_lazy_with(options.as_ref().clone().pragma("wal_autocheckpoint", "0"))
                    .into(),
            ),
            Self::Postgres(_) => None,
        }
    }

    /// A pool of one connection that is never exchanged behind our back: no lifetime, no idle time-out and
    /// no test query, and once the connection is lost the pool makes no other (a new one would lack the
    /// claim and know nothing of the batch whose outcome is unknown). `owner` tells it from the connections
    /// of other processes.
    pub(super) async fn writer(&self, owner: &str, guard: &WorkGuard) -> Result<DatabaseConnection, DbErr> {
        match self {
            Self::Sqlite(options) => {
                let options = options
                    .as_ref()
                    .clone()
                    .pragma("wal_autocheckpoint", "0")
                    .pragma("journal_size_limit", BOUND_BYTES.to_string());
                let pool = never_exchanged::<Sqlite>()
                    .after_connect(guarded(guard))
                    .connect_with(options)
                    .await
                    .map_err(no_connection)?;
                pool.set_connect_options(SqliteConnectOptions::new().filename(NOWHERE));
                Ok(pool.into())
            }
            Self::Postgres(options) => one_session(options, owner).await,
        }
    }

    /// A connection of the same kind beside the writer's, where the engine lets more than one write.
    pub(super) async fn aside(&self, owner: &str) -> Result<Option<DatabaseConnection>, DbErr> {
        match self {
            Self::Sqlite(_) => Ok(None),
            Self::Postgres(options) => one_session(options, &Part::Aside.session_of(owner))
                .await
                .map(Some),
        }
    }
}

/// A pool of one connection that it neither ends nor replaces by itself.
fn never_exchanged<DB: Database>() -> PoolOptions<DB> {
    PoolOptions::new()
        .max_connections(1)
        .min_connections(0)
        .max_lifetime(None)
        .idle_timeout(None)
        .test_before_acquire(false)
        .acquire_timeout(ACQUIRE_TIMEOUT)
}

/// A pool of one session with this name, see [`DatabaseUrl::writer`].
async fn one_session(options: &PgConnectOptions, name: &str) -> Result<DatabaseConnection, DbErr> {
    let options = options
        .clone()
        .application_name(name)
        .options(SESSION)
        .options([("synchronous_commit", "on")]);
    let pool = never_exchanged::<Postgres>()
        .connect_with(options.clone())
        .await
        .map_err(no_connection)?;
    pool.set_connect_options(options.socket(NOWHERE));
    Ok(pool.into())
}

/// How many steps of SQLite's machine lie between two looks at the clock: a fraction of a millisecond.
const STEPS_PER_LOOK: i32 = 10_000;

/// Has SQLite ask the guard.
fn guarded(
    guard: &WorkGuard,
) -> impl Fn(&mut SqliteConnection, PoolConnectionMetadata) -> BoxFuture<'_, Result<(), SqlxError>>
+ Send
+ Sync
+ 'static {
    let guard = guard.clone();
    move |connection, _| {
        let guard = guard.clone();
        Box::pin(async move {
            let mut handle = connection.lock_handle().await?;
            let (steps, commits) = (guard.clone(), guard.clone());
            handle.set_progress_handler(STEPS_PER_LOOK, move || !steps.is_over());
            handle.set_commit_hook(move || commits.may_commit());
            handle.set_rollback_hook(move || guard.rolled_back());
            Ok(())
        })
    }
}

/// Where a writer's pool finds no database, so that it says at once that its connection is lost.
const NOWHERE: &str = "/nowhere/the-writer-connection-was-lost";

fn no_connection(error: SqlxError) -> DbErr {
    match error {
        // The pool tries again and again when it is refused, and forgets why.
        SqlxError::PoolTimedOut => DbErr::Custom(format!(
            "refused or without an answer for {} s",
            ACQUIRE_TIMEOUT.as_secs()
        )),
        error => DbErr::Conn(RuntimeErr::SqlxError(error.into())),
    }
}
