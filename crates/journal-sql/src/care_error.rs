//! Why a backup, a restore or a check was refused or has failed.

#![warn(missing_docs)]

use std::{
    io,
    path::{Path, PathBuf},
};

use sea_orm::{DbErr, RuntimeErr};

use super::open_error::OpenError;

const MIB: u64 = 1024 * 1024;

/// Why a database was not copied, restored or checked. Each text is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CareError {
    /// The claim is taken, the schema is of a later version, or the database refuses the connection or a statement.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The command is for the embedded database. Holds what does the same on PostgreSQL.
    #[error("the database is on PostgreSQL; {0}")]
    OnPostgres(&'static str),
    /// There is no such file.
    #[error("{}: there is no database; give the command the server's own --config and environment", .0.display())]
    Missing(PathBuf),
    /// A backup replaces no file.
    #[error("{}: there is a file of this name, and a backup replaces none; give another name", .0.display())]
    Exists(PathBuf),
    /// A restore replaces no database without being told to.
    #[error("{}: there is a database; --replace moves it aside and puts the backup in its place", .0.display())]
    Occupied(PathBuf),
    /// Another backup or restore writes the same file.
    #[error("{}: another process writes this file", .0.display())]
    Busy(PathBuf),
    /// It has no list of migrations. Holds the file or the schema.
    #[error("{0}: this is no database of Pointsman")]
    Foreign(String),
    /// The schema is of an earlier version.
    #[error("the schema is of an earlier version; run pointsman migrate first, or check with that version")]
    Older,
    /// The file has a defect. Holds the first thing that SQLite says about it.
    #[error("{}: the database is damaged: {}", .0.display(), .1)]
    Damaged(PathBuf, String),
    /// The disk has too little room.
    #[error(
        "{}: the disk is too full: {} MiB are needed, and {} MiB are free; make room, or choose another disk",
        path.display(),
        needed.div_ceil(MIB),
        free / MIB
    )]
    NoRoom {
        /// What was to be written.
        path: PathBuf,
        /// How many bytes it takes.
        needed: u64,
        /// How many bytes are free.
        free: u64,
    },
    /// The disk of the database is nearly full. The copy or the check was given up, because it keeps the write-ahead
    /// log from being used again and the server would refuse events.
    #[error(
        "the disk of the database has only {} MiB left, so that this was given up before the server refuses events; \
         make room, and try again",
        .0 / MIB
    )]
    GivenUp(u64),
    /// A file cannot be used.
    #[error("{}: {}", .0.display(), .1)]
    File(PathBuf, io::Error),
}

impl From<DbErr> for CareError {
    fn from(error: DbErr) -> Self {
        Self::Open(error.into())
    }
}

impl CareError {
    /// The error of a statement on the database in this file, which SQLite may find to be damaged.
    pub(crate) fn of_file(path: &Path, error: DbErr) -> Self {
        // The lowest byte of an error's code says what it is: `SQLITE_CORRUPT`, `SQLITE_FULL` and `SQLITE_NOTADB`.
        match sqlite_code(&error).map(|code| code & 0xff) {
            Some(11 | 26) => Self::Damaged(path.to_owned(), error.to_string()),
            Some(13) => at(path)(io::ErrorKind::StorageFull.into()),
            _ => error.into(),
        }
    }
}

/// The code of an error that SQLite has returned.
fn sqlite_code(error: &DbErr) -> Option<u32> {
    let (DbErr::Conn(RuntimeErr::SqlxError(error))
    | DbErr::Exec(RuntimeErr::SqlxError(error))
    | DbErr::Query(RuntimeErr::SqlxError(error))) = error
    else {
        return None;
    };
    error.as_database_error()?.code()?.parse().ok()
}

/// Names the file that an error is about.
pub(crate) fn at(path: &Path) -> impl Fn(io::Error) -> CareError {
    let path = path.to_owned();
    move |error| match error.kind() {
        io::ErrorKind::StorageFull => CareError::File(
            path.clone(),
            io::Error::other("the disk is full; make room, or choose another disk"),
        ),
        _ => CareError::File(path.clone(), error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_with_the_file() {
        let error = at(Path::new("/backups/today.db"))(io::ErrorKind::StorageFull.into());
        let expected = "/backups/today.db: the disk is full; make room, or choose another disk";
        assert_eq!(error.to_string(), expected);
    }
}
