//! `pointsman restore`: puts a backup in the place of an embedded database.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sea_orm::ConnectionTrait;

use super::{
    backup::bytes_of,
    care_error::{CareError, at},
    claim::{FileClaim, beside},
    database::DatabaseUrl,
    disk_watch::folder_of,
    open_error::OpenError,
    room_watch::RoomWatch,
    schema_version::{SchemaVersion, schema_version},
    snapshot_copy::{COMPANIONS, Copy, READ_SCHEMA, sync_folder_of},
};
use pointsman_clock::Clock;

/// What follows the name of the database while the backup is copied.
const RESTORING: &str = ".restoring";

/// A database that was restored.
#[derive(Clone, Debug)]
pub struct Restored {
    /// Where it is.
    pub database: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Where the former one is.
    pub former: Option<PathBuf>,
    /// The schema is of an earlier version; the next start migrates it.
    pub is_older: bool,
}

/// Puts a copy of the backup in `file` in the place of the embedded database. Takes the claim. Where there is a
/// database, it is moved aside if `replace` says so, and never deleted.
///
/// The copy is made and looked through beside the database first. A process that is killed leaves either the former
/// database or the restored one in place, each complete.
///
/// # Errors
/// See [`CareError`]. The database is as it was then.
pub async fn restore(
    url: &DatabaseUrl,
    file: &Path,
    replace: bool,
    clock: Clock,
) -> Result<Restored, CareError> {
    let Some(database) = url.file() else {
        return Err(CareError::OnPostgres(
            "restore it with pg_restore into an empty database",
        ));
    };
    let bytes = bytes_of(file)?;
    let _claim = FileClaim::lock(database.clone())?;
    let is_there = is_there(&database)?;
    if is_there && !replace {
        return Err(CareError::Occupied(database));
    }
    // No server refuses events meanwhile: the whole disk may be used.
    let watch = RoomWatch::of(&database, 0);
    watch.has_room_for(&database, bytes)?;
    let copy = Copy::create(&beside(&database, RESTORING))?;
    let copied = async {
        copy.fill(file, &watch, clock).await?;
        let bytes = copy.complete().await?;
        copy.give_to_owner_of(&match database.exists() {
            true => database.clone(),
            false => folder_of(&database),
        })?;
        Ok((bytes, refuse_foreign(copy.path(), file).await?))
    };
    let (bytes, is_older) = match copied.await {
        Ok(copied) => copied,
        Err(error) => {
            copy.discard();
            return Err(match error {
                CareError::Damaged(_, what) => CareError::Damaged(file.to_owned(), what),
                error => error,
            });
        }
    };
    let former = match is_there {
        true => Some(set_aside(&database, clock).await?),
        false => None,
    };
    fs::rename(copy.path(), &database).map_err(at(&database))?;
    sync_folder_of(&database)?;
    Ok(Restored {
        database,
        bytes,
        former,
        is_older,
    })
}

/// Whether there is a database. An empty file is none, unless it has a log or a journal.
fn is_there(database: &Path) -> Result<bool, CareError> {
    let mut bytes = 0;
    for path in ["", "-wal", "-journal"].map(|ending| beside(database, ending)) {
        match fs::metadata(&path) {
            Ok(data) => bytes += data.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(at(&path)(error)),
        }
    }
    Ok(bytes > 0)
}

/// Returns whether the schema is of an earlier version.
async fn refuse_foreign(copy: &Path, file: &Path) -> Result<bool, CareError> {
    let connection = DatabaseUrl::existing_file(copy).snapshot_connection().await?;
    let version = schema_version(&connection).await;
    connection.close().await?;
    match version? {
        SchemaVersion::Newer(version) => Err(OpenError::Newer(version).into()),
        SchemaVersion::Foreign => Err(CareError::Foreign(file.display().to_string())),
        version => Ok(version == SchemaVersion::Older),
    }
}

/// Gives the database a second name, beside the first, and returns it. Afterwards it has no log, so that the restored
/// database can take the first name in one step.
///
/// A database that SQLite cannot open is moved with its log, the log first. Where the process is killed in between,
/// that database is as damaged as it was, and nothing of it is gone.
async fn set_aside(database: &Path, clock: Clock) -> Result<PathBuf, CareError> {
    let aside = beside(database, &format!(".replaced-{}", clock.wall().millis()));
    if let Err(error) = copy_log_into(database).await {
        log::warn!(error:%; "the former database cannot be opened; its write-ahead log is moved with it");
    }
    for ending in COMPANIONS {
        let path = beside(database, ending);
        match fs::rename(&path, beside(&aside, ending)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&path)(error)),
            _ => {}
        }
    }
    match fs::hard_link(database, &aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&aside)(error)),
        _ => {}
    }
    sync_folder_of(database)?;
    Ok(aside)
}

/// Has SQLite copy the log into the database, and remove it.
async fn copy_log_into(database: &Path) -> Result<(), CareError> {
    let connection = DatabaseUrl::existing_file(database).snapshot_connection().await?;
    let copied = async {
        // A checkpoint would write pages into a file that is no database.
        connection.execute_unprepared(READ_SCHEMA).await?;
        connection
            .execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)")
            .await
    };
    let copied = copied.await;
    connection.close().await?;
    copied?;
    Ok(())
}
