//! The rows that the drivers write, and the errors of writing them.

use pointsman_domain::event::PlatformEvent;
use pointsman_journal::{AttemptRecord, storage::Cursor};
use sea_orm::{DbErr, RuntimeErr, SqlxError};

/// Table and columns of an attempt, for INSERT INTO.
pub(crate) const ATTEMPT_ROW: &str = "ext_delivery_attempt (id, workspace_id, installation_id, event_id, \
     handler, kind, number, outcome, http_status, duration_ms, error, response, attempted_at)";
pub(crate) const ATTEMPT_COLUMNS: usize = 13;
/// For rows that are written again after their connection was lost: they may have been recorded already.
pub(crate) const SKIP_RECORDED: &str = "ON CONFLICT (event_id, installation_id, id) DO NOTHING";

/// The rows of one statement.
#[derive(Clone, Copy)]
pub(crate) enum Rows<'a> {
    Events(&'a [&'a PlatformEvent]),
    Cursors(&'a [Cursor]),
    Attempts(&'a [AttemptRecord], Writing),
}

/// Whether rows of the history are written for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Writing {
    First,
    Again,
}

impl Writing {
    pub(crate) fn of(is_again: bool) -> Self {
        if is_again { Self::Again } else { Self::First }
    }

    pub(crate) fn conflict(self) -> &'static str {
        match self {
            Self::First => "",
            Self::Again => SKIP_RECORDED,
        }
    }
}

/// Why the rows are not known to be written.
pub(crate) enum StatementError {
    /// Nothing is written, where the data is at fault. Otherwise the connection and the outcome are in doubt.
    RolledBack(DbErr),
    /// The connection and the outcome are in doubt.
    Unknown(DbErr),
}

pub(crate) fn wrapped(error: SqlxError) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(error.into()))
}
