//! What an error of the database says: whose fault it is, and whether the connection is well.

use sea_orm::{DbErr, RuntimeErr, SqlxError};

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The statement's data is at fault; the connection is well.
    Data,
    /// The statement was ended by its time-out, on PostgreSQL.
    Cancelled,
    /// Whoever made the statement has gone on after an error, which had ended the transaction, or the savepoint, on
    /// PostgreSQL. The connection is well once that is rolled back.
    Ignored,
    /// Everything else: the connection, the server or the disk is in doubt.
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

    /// Of the data are SQLSTATE classes 21 (cardinality), 22 (data exception), 23 (integrity constraint), 54 (limit
    /// exceeded) and P0 (raised by a trigger); SQLite's result codes `TOOBIG` (18), `CONSTRAINT` (19) and `MISMATCH`
    /// (20) with their extended forms. A full or read-only disk, a lock, a server that is stopping or a standby are not
    /// among them: those pass, and what was to be written is written then.
    fn of_code(code: &str) -> Self {
        match code.parse::<u32>() {
            Ok(number) if code.len() < 5 => match number & 0xff {
                18..=20 => Self::Data,
                _ => Self::Connection,
            },
            _ => match (code, code.get(..2)) {
                ("57014", _) => Self::Cancelled,
                ("25P02", _) => Self::Ignored,
                (_, Some("21" | "22" | "23" | "54" | "P0")) => Self::Data,
                _ => Self::Connection,
            },
        }
    }
}

/// Whether the error says that the statement's data is at fault.
pub(crate) fn is_fault_of_the_data(error: &DbErr) -> bool {
    Fault::of(error) == Fault::Data
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
            ("25P02", Fault::Ignored),
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
