//! The exclusive claim on a database: one process at a time writes to it.

pub(crate) mod part;

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use fs4::fs_std::FileExt;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement};

use self::part::Part;
use super::{database::DatabaseUrl, open_error::OpenError};
use pointsman_private_files as private_files;

/// The lock file beside an embedded database; held as long as this value lives.
#[derive(Debug)]
pub(super) struct FileClaim {
    database: PathBuf,
    _file: File,
}

impl FileClaim {
    /// Locks `<database>.lock`. PostgreSQL needs none: there the lock is taken on the connection.
    pub(super) fn take(url: &DatabaseUrl) -> Result<Option<Self>, OpenError> {
        let Some(database) = url.file() else {
            return Ok(None);
        };
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
        // SQLite gives its other files the permissions of this one.
        private_files::make(&database).map_err(at(&database))?;
        Ok(Some(Self {
            database,
            _file: file,
        }))
    }

    /// Says in the log which of the files, or their folder, other local users may use.
    pub(super) fn warn_if_shared(&self) {
        private_files::warn_if_shared(&self.database);
        for ending in ["-wal", "-shm", ".lock"] {
            private_files::warn_if_shared(&beside(&self.database, ending));
        }
        private_files::warn_if_folder_shared(&self.database);
    }
}

/// The file whose name is that of the database and this.
fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// How long a claim is waited for: the server ends the session of a process that has died a moment later.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(100);

/// Takes the claim on the writer connection, where the engine has one of that kind.
pub(super) async fn take_on(connection: &DatabaseConnection) -> Result<(), OpenError> {
    take(connection, Part::Writer, None).await?;
    // What a process before us has left there is over when its session is gone.
    take(connection, Part::Aside, None).await?;
    Ok(give_back(connection, Part::Aside).await?)
}

/// Takes the claim for a connection that replaces a lost one of `owner`. Where the lost one still holds it on
/// the server, cut off from us but alive and perhaps amid a transaction, it is ended there, and with it the
/// connection for slow effects. The claim is free when they are gone, so that who has the claim knows that their
/// transactions are over.
pub(super) async fn take_over(connection: &DatabaseConnection, owner: &str) -> Result<(), OpenError> {
    take(connection, Part::Writer, Some(owner)).await?;
    take(connection, Part::Aside, Some(owner)).await?;
    Ok(give_back(connection, Part::Aside).await?)
}

/// Takes the other part of the claim for a connection for slow effects; a lost one of `owner` is ended.
pub(super) async fn take_aside(connection: &DatabaseConnection, owner: &str) -> Result<(), OpenError> {
    take(connection, Part::Aside, Some(owner)).await
}

async fn take(connection: &DatabaseConnection, part: Part, owner: Option<&str>) -> Result<(), OpenError> {
    if connection.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    let owner = owner.map(|owner| part.session_of(owner));
    for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() {
        if ask(connection, "SELECT pg_try_advisory_lock($1) AS answer", part).await? {
            return Ok(());
        }
        if let Some(owner) = &owner {
            end_predecessor(connection, owner, part).await?;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(OpenError::Claimed)
}

/// Ends the session that holds this part of the claim, if it is one of `owner`. It is gone a moment later.
async fn end_predecessor(connection: &DatabaseConnection, owner: &str, part: Part) -> Result<(), DbErr> {
    let sql = "SELECT a.pid, pg_terminate_backend(a.pid) AS ended FROM pg_locks l \
               JOIN pg_stat_activity a ON a.pid = l.pid \
               WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
               AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
               AND (l.classid::BIGINT << 32) | l.objid::BIGINT = $1 \
               AND a.application_name = $2 AND a.pid <> pg_backend_pid()";
    let values = [part.lock().into(), owner.into()];
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, values);
    for row in connection.query_all_raw(statement).await? {
        let pid: i32 = row.try_get("", "pid")?;
        log::warn!(pid, part:?; "a connection of ours still held the claim on the server; it is ended there");
    }
    Ok(())
}

/// Gives the claim back, so that a successor need not wait for the server to notice our end.
pub(super) async fn release(connection: &DatabaseConnection) {
    // The end of the session releases it all the same.
    let _ = give_back(connection, Part::Writer).await;
}

async fn give_back(connection: &DatabaseConnection, part: Part) -> Result<(), DbErr> {
    if connection.get_database_backend() == DbBackend::Postgres {
        ask(connection, "SELECT pg_advisory_unlock($1) AS answer", part).await?;
    }
    Ok(())
}

async fn ask(connection: &DatabaseConnection, sql: &str, part: Part) -> Result<bool, DbErr> {
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, [part.lock().into()]);
    let row = connection.query_one_raw(statement).await?;
    Ok(row
        .map(|row| row.try_get("", "answer"))
        .transpose()?
        .unwrap_or(false))
}
