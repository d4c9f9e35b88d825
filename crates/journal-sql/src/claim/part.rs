//! The parts of the claim on PostgreSQL.

/// What a session of PostgreSQL has of the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The right to write. Whoever has it knows that no other session of any process commits anything, once the
    /// other part was seen to be free.
    Writer,
    /// Held by the connection for slow effects as long as it lives.
    Aside,
}

impl Part {
    /// The key of its advisory lock: "pointsmn" as a number, and the next.
    pub(crate) const fn lock(self) -> i64 {
        match self {
            Self::Writer => 0x706f_696e_7473_6d6e,
            Self::Aside => 0x706f_696e_7473_6d6f,
        }
    }

    /// The name of the sessions of `owner` that hold it.
    pub(crate) fn session_of(self, owner: &str) -> String {
        match self {
            Self::Writer => owner.to_owned(),
            Self::Aside => format!("{owner} aside"),
        }
    }
}
