//! The connections to the database, on both engines.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use futures_util::{FutureExt, TryFutureExt, future::BoxFuture};
use sea_orm::{
    DatabaseConnection, DbBackend, DbErr, RuntimeErr, SqlxError,
    sqlx::{
        ConnectOptions, Database, Executor, Postgres, Sqlite,
        pool::{PoolConnectionMetadata, PoolOptions},
        postgres::{PgConnectOptions, PgPoolOptions},
        sqlite::{
            SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
        },
    },
};

use super::{
    claim::advisory_lock::AdvisoryLock,
    reader::{Gate, PoolSizes, QUERY_DEADLINE, Reader, Readers},
    session::{LIFT_TIMEOUTS, WRITER_SESSION},
    work_guard::WorkGuard,
    write_ahead_log::log_size::BOUND_BYTES,
};
use pointsman_clock::Clock;

/// Prepared statements cached per connection: the writer has some 50 texts for each table that it fills.
const CACHED_STATEMENTS: usize = 256;
/// The longest time to open a connection, and to wait for one from a pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a statement on SQLite waits for the locks of other processes.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// With these settings PostgreSQL notices within seconds that this machine is gone, and ends the session.
const SESSION: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "10000"),
];

/// Settings of a reader's session. The time-out ends a statement soon after its caller has given up. Each execution is
/// planned for its own values, because a generic plan might have been chosen while the tables were small. Bitmap scans
/// are off: with outdated statistics, as in a backlog that grows fast, the planner expects ten rows, and would collect
/// and sort a million of them for each page instead of following the index.
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

/// Follows symbolic links, also to a file that does not exist yet. SQLite names the write-ahead log after the file that
/// the link leads to, so the lock file and the check of the log must use that name as well.
fn follow_links(path: &Path) -> PathBuf {
    const MAX_LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        // Fails when the path is not a link.
        let Ok(target) = std::fs::read_link(&path) else {
            break;
        };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    path
}

impl DatabaseUrl {
    /// # Errors
    /// When the URL is not valid; the text is for people.
    pub fn parse(url: &str) -> Result<Self, String> {
        if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url).map_err(|error| error.to_string())?;
            let file = follow_links(options.get_filename());
            Ok(Self::Sqlite(Box::new(
                options
                    .filename(file)
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(BUSY_TIMEOUT)
                    .statement_cache_capacity(CACHED_STATEMENTS)
                    .disable_statement_logging(),
            )))
        } else {
            let options = PgConnectOptions::from_str(url).map_err(|error| error.to_string())?;
            Ok(Self::Postgres(Box::new(
                options
                    .application_name("pointsman")
                    .statement_cache_capacity(CACHED_STATEMENTS)
                    .disable_statement_logging(),
            )))
        }
    }

    /// The embedded database in this file, which must exist. Opening it changes no setting of the file, such as the
    /// mode of its journal.
    pub fn existing_file(path: &Path) -> Self {
        Self::Sqlite(Box::new(
            SqliteConnectOptions::new()
                .filename(follow_links(path))
                .create_if_missing(false)
                .busy_timeout(BUSY_TIMEOUT)
                .disable_statement_logging(),
        ))
    }

    /// One connection for a long read beside those of a server. Its statements have no time-out.
    pub(super) async fn snapshot_connection(&self) -> Result<DatabaseConnection, DbErr> {
        match self {
            Self::Sqlite(options) => {
                let pool = never_replaced::<Sqlite>().connect_with((**options).clone()).await;
                Ok(pool.map_err(no_connection)?.into())
            }
            Self::Postgres(options) => {
                let options = (**options).clone().options(SESSION).options(READER_SESSION);
                let options = options.options([("statement_timeout", "0")]);
                let pool = never_replaced::<Postgres>().connect_with(options).await;
                Ok(pool.map_err(no_connection)?.into())
            }
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

    /// The pools for reads. Every read passes the gate.
    pub(super) fn readers(&self, max_connections: u32, gate: &Gate, clock: Clock) -> Readers {
        let sizes = PoolSizes::of(max_connections);
        let reader =
            |size, deadline| Reader::over(self.pool_for_reads(size, deadline, clock), size, gate.clone());
        Readers {
            engine: reader(sizes.engine, None),
            access: reader(sizes.access, None),
            queries: reader(sizes.queries, Some(QUERY_DEADLINE)),
            planner: reader(1, Some(QUERY_DEADLINE)),
        }
    }

    /// A pool of connections that only read. Their statements end at the deadline.
    fn pool_for_reads(&self, size: u32, deadline: Option<Duration>, clock: Clock) -> DatabaseConnection {
        match self {
            Self::Sqlite(options) => {
                let pool = SqlitePoolOptions::new()
                    .max_connections(size)
                    .acquire_timeout(ACQUIRE_TIMEOUT)
                    .test_before_acquire(false);
                let pool = match deadline {
                    None => pool,
                    // A connection is taken from the pool for each statement. Where the statement before still runs,
                    // because its caller has gone, this waits until its deadline.
                    Some(deadline) => pool
                        .after_connect(move |connection, _| end_after(connection, deadline, clock).boxed())
                        .before_acquire(move |connection, _| {
                            end_after(connection, deadline, clock).map_ok(|()| true).boxed()
                        }),
                };
                pool.connect_lazy_with((**options).clone().pragma("query_only", "on"))
                    .into()
            }
            Self::Postgres(options) => {
                let options = (**options).clone().options(SESSION).options(READER_SESSION);
                let options = match deadline {
                    None => options,
                    Some(deadline) => {
                        options.options([("statement_timeout", deadline.as_millis().to_string())])
                    }
                };
                PgPoolOptions::new()
                    .max_connections(size)
                    .acquire_timeout(ACQUIRE_TIMEOUT)
                    .connect_lazy_with(options)
                    .into()
            }
        }
    }

    /// The connection that runs checkpoints of SQLite's write-ahead log. None on PostgreSQL.
    pub(super) fn checkpoint_connection(&self) -> Option<DatabaseConnection> {
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

    /// A pool of one connection, which the pool never replaces: it has no lifetime, no idle time-out and no test query.
    /// Once the connection is lost the pool opens no other, because a new one would not hold the claim, and the outcome
    /// of a batch on the lost one may be unknown. `owner` distinguishes it from the connections of other processes.
    pub(super) async fn writer(&self, owner: &str, guard: &WorkGuard) -> Result<DatabaseConnection, DbErr> {
        match self {
            Self::Sqlite(options) => {
                let options = options
                    .as_ref()
                    .clone()
                    .pragma("wal_autocheckpoint", "0")
                    .pragma("journal_size_limit", BOUND_BYTES.to_string());
                let pool = never_replaced::<Sqlite>()
                    .after_connect(with_hooks_of(guard))
                    .connect_with(options)
                    .await
                    .map_err(no_connection)?;
                pool.set_connect_options(SqliteConnectOptions::new().filename(MISSING_DATABASE));
                Ok(pool.into())
            }
            Self::Postgres(options) => one_session(options, owner).await,
        }
    }

    /// The connection for slow effects, in the same kind of pool as the writer's. None on SQLite, which allows one
    /// writer.
    pub(super) async fn slow_effects(&self, owner: &str) -> Result<Option<DatabaseConnection>, DbErr> {
        match self {
            Self::Sqlite(_) => Ok(None),
            Self::Postgres(options) => one_session(options, &AdvisoryLock::SlowEffects.session_of(owner))
                .await
                .map(Some),
        }
    }
}

/// A pool of one connection that the pool neither closes nor replaces by itself.
fn never_replaced<DB: Database>() -> PoolOptions<DB> {
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
        .options(WRITER_SESSION);
    let pool = never_replaced::<Postgres>()
        .after_connect(|connection, _| connection.execute(LIFT_TIMEOUTS).map_ok(drop).boxed())
        .connect_with(options.clone())
        .await
        .map_err(no_connection)?;
    pool.set_connect_options(options.socket(MISSING_DATABASE));
    Ok(pool.into())
}

/// Instructions of SQLite's virtual machine between two checks of the clock; they take a fraction of a millisecond.
const INSTRUCTIONS_PER_CHECK: i32 = 10_000;

/// Has SQLite interrupt the next statement of the connection after this time.
async fn end_after(connection: &mut SqliteConnection, time: Duration, clock: Clock) -> Result<(), SqlxError> {
    let end = clock.instant() + time;
    let mut handle = connection.lock_handle().await?;
    handle.set_progress_handler(INSTRUCTIONS_PER_CHECK, move || clock.instant() < end);
    Ok(())
}

/// Registers the guard's hooks on a new connection of SQLite.
fn with_hooks_of(
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
            handle.set_progress_handler(INSTRUCTIONS_PER_CHECK, move || !steps.is_over());
            handle.set_commit_hook(move || commits.may_commit());
            handle.set_rollback_hook(move || guard.rolled_back());
            Ok(())
        })
    }
}

/// A path without a database. A pool whose connection is lost tries to open this one, and fails at once.
const MISSING_DATABASE: &str = "/nowhere/the-writer-connection-was-lost";

fn no_connection(error: SqlxError) -> DbErr {
    match error {
        // The pool retries a refused connection until the time-out, and does not return the reason.
        SqlxError::PoolTimedOut => DbErr::Custom(format!(
            "refused or without an answer for {} s",
            ACQUIRE_TIMEOUT.as_secs()
        )),
        error => DbErr::Conn(RuntimeErr::SqlxError(error.into())),
    }
}
