//! The errors of the modules below, as problems: one exhaustive match each.

use sea_orm::{DbErr, RuntimeErr, SqlErr, SqlxError};

use super::Problem;
use pointsman_auth::passwords::PasswordError;
use pointsman_router::{ChangeError, NotReady, PublishError};

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Overloaded => Self::overloaded(),
            PublishError::StorageUnavailable => Self::storage_unavailable(),
            PublishError::ShuttingDown => Self::shutting_down(),
            PublishError::Refused(cause) => Self::internal(cause),
            PublishError::NoWorkspace => Self::not_found("workspace"),
            PublishError::KeyInUse => Self::IdempotencyKeyInUse,
            PublishError::KeyReused => Self::IdempotencyKeyReused,
        }
    }
}

impl From<NotReady> for Problem {
    fn from(error: NotReady) -> Self {
        match error {
            NotReady::ShuttingDown => Self::shutting_down(),
            NotReady::Storage(reason) | NotReady::Waker(reason) => Self::StorageUnavailable(reason.into()),
        }
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::NotFound(what) => Self::not_found(what),
            ChangeError::Conflict(detail) => Self::conflict(detail),
            ChangeError::StorageUnavailable => Self::storage_unavailable(),
            ChangeError::Database(error) => error.into(),
        }
    }
}

impl From<DbErr> for Problem {
    fn from(error: DbErr) -> Self {
        if let Some(SqlErr::UniqueConstraintViolation(_)) = error.sql_err() {
            return Self::conflict("there is one like it already");
        }
        match &error {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Self::storage_unavailable(),
            DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause))
                if is_outage(cause) =>
            {
                Self::storage_unavailable()
            }
            // `DbErr` is non-exhaustive; all the rest are mistakes of ours.
            _ => Self::internal(error),
        }
    }
}

/// Whether the database could not be reached or used, as opposed to having refused the statement.
fn is_outage(error: &SqlxError) -> bool {
    match error {
        SqlxError::Io(_)
        | SqlxError::Tls(_)
        | SqlxError::PoolTimedOut
        | SqlxError::PoolClosed
        | SqlxError::WorkerCrashed => true,
        SqlxError::Database(error) => error.code().is_some_and(|code| is_outage_code(&code)),
        _ => false,
    }
}

/// PostgreSQL: connection exceptions (class 08), insufficient resources (53), operator intervention (57).
/// SQLite: busy, locked, I/O error, full, cannot open, each with its extended codes.
fn is_outage_code(code: &str) -> bool {
    const SQLITE: [i32; 5] = [5, 6, 10, 13, 14];
    match code.parse::<i32>() {
        Ok(number) if code.len() < 5 => SQLITE.contains(&(number & 0xff)),
        _ => ["08", "53", "57"].iter().any(|class| code.starts_with(class)),
    }
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Unacceptable(message) => Self::validation("password", message),
            PasswordError::Busy => Self::rate_limited(),
            PasswordError::Failed(cause) => Self::internal(cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::{ConnAcquireErr, ConnectOptions, ConnectionTrait, Database};

    use super::*;

    #[test]
    fn a_database_that_cannot_be_asked_is_unavailable() {
        let problem = Problem::from(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout));
        assert_eq!(problem.code(), "STORAGE_UNAVAILABLE");
    }

    #[test]
    fn a_server_that_is_not_ready_says_whether_that_is_for_its_database() {
        let reason = "the disk is full";
        for not_ready in [
            NotReady::Storage(reason.to_owned()),
            NotReady::Waker(reason.to_owned()),
        ] {
            let outage = Problem::from(not_ready);
            assert_eq!(
                (outage.code(), outage.to_string().as_str()),
                ("STORAGE_UNAVAILABLE", reason)
            );
        }
        assert_eq!(Problem::from(NotReady::ShuttingDown).code(), "OVERLOADED");
    }

    #[test]
    fn codes_of_an_outage_are_told_from_those_of_a_refusal() {
        for code in ["5", "517", "13", "10", "57P01", "08006", "53300"] {
            assert!(is_outage_code(code), "{code}");
        }
        for code in ["1", "19", "2067", "1555", "23505", "42601"] {
            assert!(!is_outage_code(code), "{code}");
        }
    }

    #[actix_web::test]
    async fn a_duplicate_is_a_conflict_and_a_mistake_is_internal() {
        let database = Database::connect(
            ConnectOptions::new("sqlite::memory:")
                .max_connections(1)
                .to_owned(),
        )
        .await
        .unwrap();
        database
            .execute_unprepared("CREATE TABLE thing (id INTEGER PRIMARY KEY)")
            .await
            .unwrap();
        let insert = "INSERT INTO thing VALUES (1)";
        database.execute_unprepared(insert).await.unwrap();
        let duplicate = database.execute_unprepared(insert).await.unwrap_err();
        assert_eq!(Problem::from(duplicate).code(), "CONFLICT");
        let mistake = database.execute_unprepared("SELEKT 1").await.unwrap_err();
        assert_eq!(Problem::from(mistake).code(), "INTERNAL");
    }
}
