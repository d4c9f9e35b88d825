//! Why a database cannot be opened.

use std::{io, path::PathBuf};

use pointsman_journal::ChangeError;
use sea_orm::DbErr;

/// Why the database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("another process is using this database; stop it first, or give this one a database of its own")]
    Claimed,
    #[error("the database has been migrated by a newer version of Pointsman ({0}); use that version")]
    Newer(String),
    #[error(
        "{0}: this is not the master key that the database was used with; restore that key from a backup, or, where \
         it is lost, accept this one: pointsman accept-key, with the same --config and environment"
    )]
    AnotherKey(String),
    #[error(
        "the database keeps its texts in {0}, which not every event fits into; make one with \
         CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8'"
    )]
    Encoding(String),
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    #[error("the database cannot be opened: {0}")]
    Database(#[from] DbErr),
    #[error("the installations of in-process extensions cannot be brought up to date: {0}")]
    Extensions(#[from] ChangeError),
    #[error("the journal's thread cannot be started: {0}")]
    Thread(io::Error),
}
