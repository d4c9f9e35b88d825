//! Why a database cannot be opened.

#![warn(missing_docs)]

use std::{io, path::PathBuf};

use pointsman_journal::ChangeError;
use sea_orm::DbErr;

/// Why the database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the claim on the database.
    #[error("another process is using this database; stop it first, or give this one a database of its own")]
    Claimed,
    /// The schema is of a later version. Holds the name of the migration that this version does not know.
    #[error("the database has been migrated by a newer version of Pointsman ({0}); use that version")]
    Newer(String),
    /// What is sealed in the database was sealed with another key. Holds the setting or the file that has the key.
    #[error(
        "{0}: this is not the master key that the database was used with; restore that key from a backup, or, where \
         it is lost, accept this one: pointsman accept-key, with the same --config and environment"
    )]
    AnotherKey(String),
    /// A PostgreSQL database is not in UTF-8. Holds its encoding.
    #[error(
        "the database keeps its texts in {0}, which not every event fits into; make one with \
         CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8'"
    )]
    Encoding(String),
    /// A file or folder of the embedded database cannot be used.
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    /// The database refuses the connection or a statement.
    #[error("the database cannot be opened: {0}")]
    Database(#[from] DbErr),
    /// The subscriptions of the in-process extensions were not changed to those of their present handlers.
    #[error("the installations of in-process extensions cannot be brought up to date: {0}")]
    Extensions(#[from] ChangeError),
    /// The operating system gives no thread.
    #[error("the journal's thread cannot be started: {0}")]
    Thread(io::Error),
}
