//! Classifies errors of the database: what is at fault, and whether the connection can be used further.

use sea_orm::{DbErr, RuntimeErr, SqlxError};

use crate::marker::is_missing;

/// What is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The data of the statement; the connection can be used further.
    Data,
    /// The statement was ended by its time-out (PostgreSQL only).
    Cancelled,
    /// An earlier statement had failed, and on PostgreSQL had aborted the transaction or savepoint, but its error was
    /// ignored. The connection can be used further after a rollback.
    Aborted,
    /// The connection, the server or the disk may be at fault: every other error.
    Connection,
}

impl Fault {
    pub(crate) fn of(error: &DbErr) -> Self {
        let (DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error))) = error
        else {
            return match error {
                DbErr::Type(_) | DbErr::Json(_) | DbErr::TryIntoErr { .. } | DbErr::RecordNotFound(_) => {
                    Self::Data
                }
                _ => Self::Connection,
            };
        };
        match error.as_ref() {
            SqlxError::Encode(_)
            | SqlxError::InvalidArgument(_)
            | SqlxError::Decode(_)
            | SqlxError::ColumnDecode { .. } => Self::Data,
            SqlxError::Database(error) => error.code().map_or(Self::Connection, |code| Self::of_code(&code)),
            _ => Self::Connection,
        }
    }

    /// The data is at fault for SQLSTATE classes 21 (cardinality), 22 (data exception), 23 (integrity constraint), 54
    /// (limit exceeded) and P0 (raised by a trigger), and for SQLite's result codes `TOOBIG` (18), `CONSTRAINT` (19)
    /// and `MISMATCH` (20) with their extended codes. It is not for a full or read-only disk, a lock, a server that is
    /// stopping or a standby: these conditions pass, and the data is written afterwards.
    fn of_code(code: &str) -> Self {
        match code.parse::<u32>() {
            Ok(number) if code.len() < 5 => match number & 0xff {
                18..=20 => Self::Data,
                _ => Self::Connection,
            },
            _ => match (code, code.get(..2)) {
                ("57014", _) => Self::Cancelled,
                ("25P02", _) => Self::Aborted,
                (_, Some("21" | "22" | "23" | "54" | "P0")) => Self::Data,
                _ => Self::Connection,
            },
        }
    }
}

/// Whether the data of the statement is at fault.
pub(crate) fn is_fault_of_the_data(error: &DbErr) -> bool {
    Fault::of(error) == Fault::Data
}

/// Whether the connection, the server or the disk may be at fault, and not only the statement. Where it is not, and the
/// transaction can be rolled back, the connection can be used further. A plan that does not fit any more (0A000, 26000)
/// is among the faults of the connection, because only a new one forgets it.
pub(crate) fn is_fault_of_the_connection(error: &DbErr) -> bool {
    let (DbErr::Conn(RuntimeErr::SqlxError(error))
    | DbErr::Exec(RuntimeErr::SqlxError(error))
    | DbErr::Query(RuntimeErr::SqlxError(error))) = error
    else {
        return matches!(error, DbErr::Conn(_) | DbErr::ConnectionAcquire(_));
    };
    match error.as_ref() {
        SqlxError::Database(error) => error.code().is_none_or(|code| is_code_of_the_connection(&code)),
        SqlxError::Io(_)
        | SqlxError::Tls(_)
        | SqlxError::Protocol(_)
        | SqlxError::PoolTimedOut
        | SqlxError::PoolClosed
        | SqlxError::WorkerCrashed
        | SqlxError::BeginFailed => true,
        _ => false,
    }
}

/// The SQLSTATE classes 08 (connection), 53 (resources), 57P (shutdown), 58 (system), F0 and XX (internal), a server
/// that only reads, and everything of SQLite but its general error, a constraint, and what is misused or interrupted.
fn is_code_of_the_connection(code: &str) -> bool {
    match code.parse::<u32>() {
        Ok(number) if code.len() < 5 => !matches!(number & 0xff, 1 | 9 | 18..=21 | 25),
        _ => {
            matches!(code, "0A000" | "26000" | "25006")
                || code.starts_with("57P")
                || matches!(code.get(..2), Some("08" | "53" | "58" | "F0" | "XX"))
        }
    }
}

/// Whether the database has refused the commit of a transaction whose [marker](crate::marker) was there: nothing of it
/// is left.
pub(crate) fn is_refused_commit(error: &DbErr) -> bool {
    is_fault_of_the_data(error)
        || is_of_postgres(error) && !is_missing(error) && !is_fault_of_the_connection(error)
}

fn is_of_postgres(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error
    else {
        return false;
    };
    matches!(error.as_ref(), SqlxError::Database(error) if error.code().is_some_and(|code| code.len() == 5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_tells_whose_fault_it_is() {
        for (code, fault) in [
            ("23505", Fault::Data),
            ("22P05", Fault::Data),
            ("P0001", Fault::Data),
            ("57014", Fault::Cancelled),
            ("25P02", Fault::Aborted),
            ("25006", Fault::Connection),
            ("40001", Fault::Connection),
            ("57P01", Fault::Connection),
            ("53100", Fault::Connection),
            ("2067", Fault::Data),
            ("18", Fault::Data),
            ("13", Fault::Connection),
            ("5", Fault::Connection),
        ] {
            assert_eq!(Fault::of_code(code), fault, "{code}");
        }
    }

    #[test]
    fn a_wrong_statement_is_no_fault_of_the_connection() {
        for code in [
            "42601", "42P01", "25001", "25P02", "55P03", "57014", "40P01", "40001", "MY001", "44000", "1",
            "19",
        ] {
            assert!(!is_code_of_the_connection(code), "{code}");
        }
        for code in [
            "57P01", "08006", "53100", "58030", "XX000", "0A000", "25006", "5", "10", "13", "26",
        ] {
            assert!(is_code_of_the_connection(code), "{code}");
        }
    }
}
