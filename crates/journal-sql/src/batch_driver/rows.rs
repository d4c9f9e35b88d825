//! What goes to the drivers, and why it is not known to be written.

use pointsman_domain::event::PlatformEvent;
use pointsman_journal::{AttemptRecord, storage::Cursor};
use sea_orm::{DbErr, RuntimeErr, SqlxError};

/// What an attempt fills, for INSERT INTO.
pub(crate) const ATTEMPT_ROW: &str = "ext_delivery_attempt (id, workspace_id, installation_id, event_id, \
     handler, kind, number, outcome, http_status, duration_ms, error, response, attempted_at)";
pub(crate) const ATTEMPT_COLUMNS: usize = 13;
/// For what was lost with its connection and is written again: it may have been recorded.
pub(crate) const ONCE: &str = "ON CONFLICT (event_id, installation_id, id) DO NOTHING";

/// What is written at once.
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
            Self::Again => ONCE,
        }
    }
}

/// Why nothing is known to be written.
pub(crate) enum StatementError {
    /// Nothing is; the connection is well where the fault is the data's.
    RolledBack(DbErr),
    Unknown(DbErr),
}

pub(crate) fn wrapped(error: SqlxError) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(error.into()))
}
