//! Classifies errors of the database: what is at fault, and whether the connection can be used further.

use sea_orm::{DbErr, RuntimeErr, SqlxError};

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

/// Whether the statement itself is at fault, although not its data: it is wrong, it is not allowed, or it has waited in
/// vain for a lock (SQLSTATE classes 0A, 42 and 55, and 25001; SQLite's general error). Nothing follows from it for the
/// connection, whose transaction must prove by its marker that it can be used further.
pub(crate) fn is_of_the_statement(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error
    else {
        return false;
    };
    let SqlxError::Database(error) = error.as_ref() else {
        return false;
    };
    let code = error.code();
    let code = code.as_deref().unwrap_or_default();
    matches!(code, "25001" | "1") || matches!(code.get(..2), Some("0A" | "42" | "55")) && code.len() == 5
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
}
