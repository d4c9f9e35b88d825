//! The exclusive claim on a database: only one process at a time writes to it.

pub(crate) mod advisory_lock;

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use fs4::fs_std::FileExt;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement};

use self::advisory_lock::AdvisoryLock;
use super::{database::DatabaseUrl, open_error::OpenError};
use pointsman_private_files as private_files;

/// The lock on the file beside an embedded database. Held until this value is dropped.
#[derive(Debug)]
pub(super) struct FileClaim {
    database: PathBuf,
    _file: File,
}

impl FileClaim {
    /// Locks `<database>.lock`, and makes the database where it is missing. None on PostgreSQL, where the connection
    /// takes an advisory lock instead.
    pub(super) fn take(url: &DatabaseUrl) -> Result<Option<Self>, OpenError> {
        let Some(database) = url.file() else {
            return Ok(None);
        };
        let claim = Self::lock(database)?;
        // SQLite gives its other files the permissions of this one.
        let made = private_files::make(&claim.database);
        made.map_err(|error| OpenError::File(claim.database.clone(), error))?;
        Ok(Some(claim))
    }

    /// Locks `<database>.lock`, and makes no database.
    pub(super) fn lock(database: PathBuf) -> Result<Self, OpenError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error| OpenError::File(path, error)
        };
        private_files::make_folder_of(&database).map_err(at(&database))?;
        let path = beside(&database, ".lock");
        let file = private_files::open(&path).map_err(at(&path))?;
        match FileExt::try_lock_exclusive(&file) {
            Ok(true) => {}
            Ok(false) => return Err(OpenError::Claimed),
            Err(error) => return Err(OpenError::File(path, error)),
        }
        Ok(Self {
            database,
            _file: file,
        })
    }

    /// Logs a warning for each database file, and for the folder, that other local users have access to.
    pub(super) fn warn_if_shared(&self) {
        private_files::warn_if_shared(&self.database);
        for ending in ["-wal", "-shm", ".lock"] {
            private_files::warn_if_shared(&beside(&self.database, ending));
        }
        private_files::warn_if_folder_shared(&self.database);
    }
}

/// The path of the database with this ending.
pub(crate) fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// How long to wait for the claim: PostgreSQL ends the session of a process a moment after the process has died.
const TIMEOUT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(100);

/// Takes the claim on the writer connection. Does nothing on SQLite.
pub(super) async fn take_at_start(connection: &DatabaseConnection) -> Result<(), OpenError> {
    take(connection, AdvisoryLock::Writer, None).await?;
    // Once this lock is free, no slow effect of an earlier process can still commit.
    take(connection, AdvisoryLock::SlowEffects, None).await?;
    Ok(give_back(connection, AdvisoryLock::SlowEffects).await?)
}

/// Takes the claim for a connection that replaces a lost one of `owner`. The session of the lost one may still exist on
/// the server, even in a transaction, and hold the claim. Such a session is terminated, and so is the session for slow
/// effects. The claim is free only when the sessions have ended, so that the new holder knows that their transactions
/// are over.
pub(super) async fn take_over(connection: &DatabaseConnection, owner: &str) -> Result<(), OpenError> {
    take(connection, AdvisoryLock::Writer, Some(owner)).await?;
    take(connection, AdvisoryLock::SlowEffects, Some(owner)).await?;
    Ok(give_back(connection, AdvisoryLock::SlowEffects).await?)
}

/// Takes the lock of the connection for slow effects. Terminates a lost session of `owner` that still holds it.
pub(super) async fn take_for_slow_effects(
    connection: &DatabaseConnection,
    owner: &str,
) -> Result<(), OpenError> {
    take(connection, AdvisoryLock::SlowEffects, Some(owner)).await
}

async fn take(
    connection: &DatabaseConnection,
    lock: AdvisoryLock,
    owner: Option<&str>,
) -> Result<(), OpenError> {
    if connection.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    let owner = owner.map(|owner| lock.session_of(owner));
    for _ in 0..TIMEOUT.as_millis() / PAUSE.as_millis() {
        if query_lock(connection, "SELECT pg_try_advisory_lock($1) AS answer", lock).await? {
            return Ok(());
        }
        if let Some(owner) = &owner {
            end_predecessor(connection, owner, lock).await?;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(OpenError::Claimed)
}

/// Terminates the session that holds this lock, if `owner` is its name. PostgreSQL ends it a moment later.
async fn end_predecessor(
    connection: &DatabaseConnection,
    owner: &str,
    lock: AdvisoryLock,
) -> Result<(), DbErr> {
    let sql = "SELECT a.pid, pg_terminate_backend(a.pid) AS ended FROM pg_locks l \
               JOIN pg_stat_activity a ON a.pid = l.pid \
               WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
               AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
               AND (l.classid::BIGINT << 32) | l.objid::BIGINT = $1 \
               AND a.application_name = $2 AND a.pid <> pg_backend_pid()";
    let values = [lock.key().into(), owner.into()];
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, values);
    for row in connection.query_all_raw(statement).await? {
        let pid: i32 = row.try_get("", "pid")?;
        log::warn!(pid, lock:?; "a connection of ours still held the claim on the server; it is ended there");
    }
    Ok(())
}

/// Releases the claim, so that the next process need not wait until PostgreSQL notices the end of this session.
pub(super) async fn release(connection: &DatabaseConnection) {
    // An error does not matter: the end of the session releases the claim as well.
    let _ = give_back(connection, AdvisoryLock::Writer).await;
}

async fn give_back(connection: &DatabaseConnection, lock: AdvisoryLock) -> Result<(), DbErr> {
    if connection.get_database_backend() == DbBackend::Postgres {
        query_lock(connection, "SELECT pg_advisory_unlock($1) AS answer", lock).await?;
    }
    Ok(())
}

async fn query_lock(connection: &DatabaseConnection, sql: &str, lock: AdvisoryLock) -> Result<bool, DbErr> {
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, [lock.key().into()]);
    let row = connection.query_one_raw(statement).await?;
    Ok(row
        .map(|row| row.try_get("", "answer"))
        .transpose()?
        .unwrap_or(false))
}
