//! From which end a list begins.

use serde::{Deserialize, Serialize};

/// From which end a list begins.
#[warn(missing_docs)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// Oldest first.
    #[serde(rename = "asc")]
    Ascending,
    /// Newest first.
    #[default]
    #[serde(rename = "desc")]
    Descending,
}

impl Direction {
    /// As SQL orders by it.
    pub(crate) const fn sql(self) -> &'static str {
        match self {
            Self::Ascending => "ASC",
            Self::Descending => "DESC",
        }
    }
}
