//! `pointsman backup`: a copy of an embedded database that a server may be using.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    care_error::{CareError, at},
    claim::beside,
    database::DatabaseUrl,
    room_watch::RoomWatch,
    snapshot_copy::{COMPANIONS, Copy, sync_folder_of},
};
use pointsman_clock::Clock;

/// What follows the name of a backup while it is made.
const PARTIAL: &str = ".partial";

/// A backup that is complete.
#[derive(Clone, Debug)]
pub struct BackedUp {
    /// The size of its file.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
    /// For how much of that time the write-ahead log was kept.
    pub kept_log: Duration,
}

/// Copies the embedded database into `file`, which must not exist. Takes no claim, so that it runs beside a server,
/// whose writer waits for nothing. Every event that was acknowledged before is in it.
///
/// It is written as `<file>.partial`, looked through, made durable and renamed. Where `min_free_bytes` of the
/// database's disk would be touched, it is given up.
///
/// # Errors
/// See [`CareError`]. A copy that is found damaged is left as `<file>.partial`, every other one is removed.
pub async fn backup(
    url: &DatabaseUrl,
    file: &Path,
    min_free_bytes: u64,
    clock: Clock,
) -> Result<BackedUp, CareError> {
    let Some(database) = url.file() else {
        return Err(CareError::OnPostgres(
            "make its backup with pg_dump --format=custom",
        ));
    };
    let started = clock.instant();
    refuse_existing(file)?;
    let bytes = bytes_of(&database)?;
    let watch = RoomWatch::of(&database, min_free_bytes);
    watch.has_room_for(file, bytes)?;
    let copy = Copy::create(&beside(file, PARTIAL))?;
    let made = async {
        copy.fill(&database, &watch, clock).await?;
        let kept_log = clock.elapsed(started);
        log::debug!(path:% = copy.path().display(); "the copy is looked through");
        Ok((copy.complete().await?, kept_log))
    };
    let (bytes, kept_log) = match made.await {
        Ok(made) => made,
        Err(damaged @ CareError::Damaged(..)) => return Err(damaged),
        Err(error) => {
            copy.discard();
            return Err(error);
        }
    };
    refuse_existing(file)?;
    fs::rename(copy.path(), file).map_err(at(file))?;
    sync_folder_of(file)?;
    Ok(BackedUp {
        bytes,
        took: clock.elapsed(started),
        kept_log,
    })
}

/// A file beside it that SQLite would take for the backup's own counts as well.
fn refuse_existing(file: &Path) -> Result<(), CareError> {
    for ending in COMPANIONS.into_iter().chain([""]) {
        let path = beside(file, ending);
        match fs::symlink_metadata(&path) {
            Ok(_) => return Err(CareError::Exists(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(at(&path)(error)),
        }
    }
    Ok(())
}

/// The most that a copy of the database takes: its write-ahead log is copied, and then replayed into the file.
pub(crate) fn bytes_of(database: &Path) -> Result<u64, CareError> {
    let bytes = |path: PathBuf| fs::metadata(path).map(|data| data.len());
    match bytes(database.to_owned()) {
        // There is no log after an ordered stop.
        Ok(of_file) => Ok(of_file + 2 * bytes(beside(database, "-wal")).unwrap_or(0)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(CareError::Missing(database.to_owned())),
        Err(error) => Err(at(database)(error)),
    }
}
