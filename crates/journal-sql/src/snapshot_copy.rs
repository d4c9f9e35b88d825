//! Copies an embedded database while others use it: the file and its write-ahead log, as they are on the disk.
//!
//! A read transaction is open meanwhile. Two cases, by the state of the write-ahead log when it begins:
//!
//! - The log has pages that are not yet in the file. Then no writer starts the log anew, and checkpoints copy only
//!   pages of the transaction's snapshot into the file. Each page that changes in the file during the copy is in the
//!   log, and so in the copy of the log. SQLite replays that log when the copy is opened for the first time, as after a
//!   crash.
//! - Every page of the log is in the file. Then no checkpoint changes the file, and a writer may start the log anew.
//!   Its copy is used only where that did not happen meanwhile: a mixture of two logs might replay old pages.
//!
//! Either way the copy has every transaction that was committed before it began. It may have some that came a moment
//! later; a transaction that is not whole is left out, because the frames of a log have checksums.
//!
//! No writer and no checkpoint waits for a reader. What the copy costs is room: the log grows by what is committed
//! during the copy ([`RoomWatch`] bounds that).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use fs4::fs_std::FileExt;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, Statement, TransactionTrait};

use super::{
    care_error::{CareError, at},
    claim::beside,
    database::DatabaseUrl,
    disk_watch::folder_of,
    room_watch::RoomWatch,
};
use pointsman_clock::Clock;

/// Bytes that are copied and made durable at a time. A commit of the server on the same file system waits for no more
/// than these.
const PIECE: u64 = 8 * 1024 * 1024;
/// How often a long copy says how far it is.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// A read that needs the first page, and all of the schema.
pub(crate) const READ_SCHEMA: &str = "SELECT count(*) || '' FROM sqlite_schema";
/// The header of a write-ahead log: it has the salts, which are drawn anew when the log is started anew.
const LOG_HEADER: usize = 32;

/// A copy that is being made. Its file is locked, so that no other process makes the same one.
#[derive(Debug)]
pub(crate) struct Copy {
    path: PathBuf,
    file: File,
}

impl Copy {
    /// Makes the file, for its owner alone, in the place of what a copy has left that was killed.
    pub(crate) fn create(path: &Path) -> Result<Self, CareError> {
        let failed = at(path);
        match OpenOptions::new().write(true).open(path) {
            Ok(left) if !FileExt::try_lock_exclusive(&left).map_err(&failed)? => {
                return Err(CareError::Busy(path.to_owned()));
            }
            Ok(_) => remove_copy(path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let file = create_new(path)?;
        if !FileExt::try_lock_exclusive(&file).map_err(&failed)? {
            return Err(CareError::Busy(path.to_owned()));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Gives the copy the owner of this file or folder, so that a copy that root has made can be used by the account of
    /// the server.
    pub(crate) fn give_to_owner_of(&self, path: &Path) -> Result<(), CareError> {
        let owner = fs::metadata(path).map_err(at(path))?;
        let own = self.file.metadata().map_err(at(&self.path))?;
        if (own.uid(), own.gid()) == (owner.uid(), owner.gid()) {
            return Ok(());
        }
        match std::os::unix::fs::fchown(&self.file, Some(owner.uid()), Some(owner.gid())) {
            // Only root may give files away. The server has this account then, or its owner has planned otherwise.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            given => given.map_err(at(&self.path)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Copies the database at `source` as it is now.
    pub(crate) async fn fill(&self, source: &Path, watch: &RoomWatch, clock: Clock) -> Result<(), CareError> {
        let failed = at(source);
        // Opened before SQLite opens it, and closed after: closing any handle of a file gives up all locks that the
        // process has on it.
        let database = File::open(source).map_err(&failed)?;
        let connection = open(source).await?;
        let snapshot = connection.begin().await?;
        // The snapshot is that of the first read.
        let first = read_text(&snapshot, READ_SCHEMA).await;
        first.map_err(|error| CareError::of_file(source, error))?;
        let opened = database.metadata().map_err(&failed)?;
        let now = fs::metadata(source).map_err(&failed)?;
        if (opened.dev(), opened.ino()) != (now.dev(), now.ino()) {
            return Err(failed(io::Error::other(
                "the file was replaced meanwhile; try again",
            )));
        }
        let job = CopyJob {
            source: source.to_owned(),
            database,
            target: self.path.clone(),
            file: self.file.try_clone().map_err(at(&self.path))?,
            watch: watch.clone(),
            clock,
        };
        let copying = tokio::task::spawn_blocking(move || (job.run(), job.database));
        let (copied, database) = copying.await.map_err(|error| failed(io::Error::other(error)))?;
        snapshot.rollback().await?;
        connection.close().await?;
        drop(database);
        copied
    }

    /// Has SQLite replay the copied log, makes the copy one file without a log, and looks through it.
    ///
    /// `quick_check` reads every page of every tree and every row. What it leaves out, the comparison of each index
    /// with its table, takes more than twice as long and finds nothing that copying could have done; `pointsman check`
    /// does that.
    pub(crate) async fn complete(&self) -> Result<u64, CareError> {
        let connection = open(&self.path).await?;
        let looked = look_through(&connection, &self.path).await;
        connection.close().await?;
        looked?;
        self.file.sync_all().map_err(at(&self.path))?;
        Ok(self.file.metadata().map_err(at(&self.path))?.len())
    }

    /// Removes what was made.
    pub(crate) fn discard(self) {
        // The error that made the copy useless says more than that it could not be removed.
        let _ = remove_copy(&self.path);
    }
}

/// The database in this file, which must exist.
async fn open(file: &Path) -> Result<DatabaseConnection, CareError> {
    let connection = DatabaseUrl::existing_file(file).snapshot_connection().await;
    connection.map_err(|error| CareError::of_file(file, error))
}

async fn look_through(connection: &DatabaseConnection, path: &Path) -> Result<(), CareError> {
    for (pragma, wanted) in [
        ("PRAGMA journal_mode = DELETE", "delete"),
        ("PRAGMA quick_check(1)", "ok"),
    ] {
        let answer = read_text(connection, pragma).await;
        let answer = answer.map_err(|error| CareError::of_file(path, error))?;
        if answer != wanted {
            let line = answer.lines().collect::<Vec<_>>().join(" ");
            return Err(CareError::Damaged(path.to_owned(), line));
        }
    }
    Ok(())
}

/// The text in the first column of the first row.
async fn read_text<C: ConnectionTrait>(connection: &C, sql: &str) -> Result<String, DbErr> {
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    match connection.query_one_raw(statement).await? {
        Some(row) => row.try_get_by_index(0),
        None => Err(DbErr::RecordNotFound(sql.to_owned())),
    }
}

/// What is copied, on a thread that may block.
struct CopyJob {
    source: PathBuf,
    database: File,
    target: PathBuf,
    file: File,
    watch: RoomWatch,
    clock: Clock,
}

impl CopyJob {
    fn run(&self) -> Result<(), CareError> {
        // The log first, while it is short. It has all that may change in the file from now on.
        self.copy_log()?;
        let bytes = self.database.metadata().map_err(at(&self.source))?.len();
        self.copy_bytes((&self.database, &self.source), (&self.file, &self.target), bytes)
    }

    fn copy_log(&self) -> Result<(), CareError> {
        let path = beside(&self.source, "-wal");
        let mut log = match File::open(&path) {
            Ok(log) => log,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(at(&path)(error)),
        };
        let before = header(&mut log).map_err(at(&path))?;
        let bytes = log.metadata().map_err(at(&path))?.len();
        let target = beside(&self.target, "-wal");
        let file = create_new(&target)?;
        self.copy_bytes((&log, &path), (&file, &target), bytes)?;
        // A writer writes the header before the frames, so that an unchanged header proves that all frames are of one
        // log.
        if header(&mut log).map_err(at(&path))? != before {
            fs::remove_file(&target).map_err(at(&target))?;
        }
        Ok(())
    }

    /// Copies at most so many bytes from the beginning.
    fn copy_bytes(
        &self,
        (mut source, read): (&File, &Path),
        (mut target, written): (&File, &Path),
        bytes: u64,
    ) -> Result<(), CareError> {
        let mut progress = Progress::new(bytes, self.clock);
        source.seek(SeekFrom::Start(0)).map_err(at(read))?;
        let mut left = bytes;
        while left > 0 {
            self.watch.check()?;
            // Within a file system that can share blocks, this copies none.
            let copied = io::copy(&mut source.take(left.min(PIECE)), &mut target).map_err(at(written))?;
            target.sync_data().map_err(at(written))?;
            if copied == 0 {
                // A checkpoint has cut the file: what is left is in the log.
                break;
            }
            left -= copied;
            progress.say(bytes - left);
        }
        Ok(())
    }
}

/// The first bytes of a write-ahead log; fewer where it is empty.
fn header(log: &mut File) -> io::Result<Vec<u8>> {
    log.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    log.take(LOG_HEADER as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Says how far a long copy is.
struct Progress {
    bytes: u64,
    said: Instant,
    clock: Clock,
}

impl Progress {
    fn new(bytes: u64, clock: Clock) -> Self {
        Self {
            bytes,
            said: clock.instant(),
            clock,
        }
    }

    fn say(&mut self, copied: u64) {
        const MIB: u64 = 1024 * 1024;
        if self.clock.elapsed(self.said) >= SAY_EVERY {
            self.said = self.clock.instant();
            log::info!(copied_mib = copied / MIB, of_mib = self.bytes / MIB; "the database is being copied");
        }
    }
}

/// A new file for its owner alone.
fn create_new(path: &Path) -> Result<File, CareError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(at(path))
}

/// Removes a copy that is not complete, with its log.
fn remove_copy(path: &Path) -> Result<(), CareError> {
    for ending in COMPANIONS.into_iter().chain([""]) {
        let path = beside(path, ending);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&path)(error)),
            _ => {}
        }
    }
    Ok(())
}

/// What SQLite keeps beside a database. Beside another one it would be taken for that one's.
pub(crate) const COMPANIONS: [&str; 3] = ["-journal", "-wal", "-shm"];

/// Makes the names in the folder of this file durable.
pub(crate) fn sync_folder_of(file: &Path) -> Result<(), CareError> {
    let folder = folder_of(file);
    File::open(&folder)
        .and_then(|folder| folder.sync_all())
        .map_err(at(&folder))
}
