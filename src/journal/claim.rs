//! The exclusive claim on a database: one process at a time writes to it.

use std::{
    fs::{File, OpenOptions},
    path::PathBuf,
    time::Duration,
};

use fs4::fs_std::FileExt;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement};

use super::{OpenError, database::DatabaseUrl};

/// The key of the PostgreSQL advisory lock: "pointsmn" as a number.
const ADVISORY_LOCK: i64 = 0x706f_696e_7473_6d6e;

/// The lock file beside an embedded database; held as long as this value lives.
#[derive(Debug)]
pub(super) struct FileClaim {
    _file: File,
}

impl FileClaim {
    /// Locks `<database>.lock`. PostgreSQL needs none: there the lock is taken on the connection.
    pub(super) fn take(url: &DatabaseUrl) -> Result<Option<Self>, OpenError> {
        let Some(database) = url.file() else {
            return Ok(None);
        };
        if let Some(folder) = database.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|error| OpenError::File(folder.to_owned(), error))?;
        }
        let mut path = database.into_os_string();
        path.push(".lock");
        let path = PathBuf::from(path);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| OpenError::File(path.clone(), error))?;
        match FileExt::try_lock_exclusive(&file) {
            Ok(true) => Ok(Some(Self { _file: file })),
            Ok(false) => Err(OpenError::Claimed),
            Err(error) => Err(OpenError::File(path, error)),
        }
    }
}

/// How long a claim is waited for: the server ends the session of a process that has died a moment later.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(100);

/// Takes the claim on the writer connection, where the engine has one of that kind.
pub(super) async fn take_on(connection: &DatabaseConnection) -> Result<(), OpenError> {
    if connection.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() {
        if ask(connection, "SELECT pg_try_advisory_lock($1) AS answer").await? {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(OpenError::Claimed)
}

/// Takes the claim for a connection that replaces a lost one of `owner`. Where the lost one still holds it on
/// the server, cut off from us but alive and perhaps amid a transaction, it is ended there. The claim is free
/// when it is gone, so that who has the claim knows that the transaction is over.
pub(super) async fn take_over(connection: &DatabaseConnection, owner: &str) -> Result<(), OpenError> {
    if connection.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() {
        if ask(connection, "SELECT pg_try_advisory_lock($1) AS answer").await? {
            return Ok(());
        }
        end_predecessor(connection, owner).await?;
        tokio::time::sleep(PAUSE).await;
    }
    Err(OpenError::Claimed)
}

/// Ends the session that holds the claim, if it is one of `owner`. It is gone a moment later.
async fn end_predecessor(connection: &DatabaseConnection, owner: &str) -> Result<(), DbErr> {
    let sql = "SELECT a.pid, pg_terminate_backend(a.pid) AS ended FROM pg_locks l \
               JOIN pg_stat_activity a ON a.pid = l.pid \
               WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
               AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
               AND (l.classid::BIGINT << 32) | l.objid::BIGINT = $1 \
               AND a.application_name = $2 AND a.pid <> pg_backend_pid()";
    let values = [ADVISORY_LOCK.into(), owner.into()];
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, values);
    for row in connection.query_all_raw(statement).await? {
        let pid: i32 = row.try_get("", "pid")?;
        log::warn!(pid; "a lost connection of ours still held the claim on the server; it is ended there");
    }
    Ok(())
}

/// Gives the claim back, so that a successor need not wait for the server to notice our end.
pub(super) async fn release(connection: &DatabaseConnection) {
    if connection.get_database_backend() == DbBackend::Postgres {
        // The end of the session releases it all the same.
        let _ = ask(connection, "SELECT pg_advisory_unlock($1) AS answer").await;
    }
}

async fn ask(connection: &DatabaseConnection, sql: &str) -> Result<bool, DbErr> {
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, [ADVISORY_LOCK.into()]);
    let row = connection.query_one_raw(statement).await?;
    Ok(row
        .map(|row| row.try_get("", "answer"))
        .transpose()?
        .unwrap_or(false))
}
