//! The advisory locks that are the claim on PostgreSQL.

/// An advisory lock of the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdvisoryLock {
    /// The right to write. A session that holds it and has seen the other lock free knows that no other session, of any
    /// process, commits anything.
    Writer,
    /// Held by the connection for slow effects until it ends.
    SlowEffects,
}

impl AdvisoryLock {
    /// The key of the lock: the bytes of "pointsmn" as a number, and the next number.
    pub(crate) const fn key(self) -> i64 {
        match self {
            Self::Writer => 0x706f_696e_7473_6d6e,
            Self::SlowEffects => 0x706f_696e_7473_6d6f,
        }
    }

    /// The `application_name` of the sessions of `owner` that hold it.
    pub(crate) fn session_of(self, owner: &str) -> String {
        match self {
            Self::Writer => owner.to_owned(),
            Self::SlowEffects => format!("{owner} aside"),
        }
    }
}
