//! What runs of closed-loop load have found.

use crate::report::Row;

/// A row for each number of connections.
pub(super) struct Rows {
    pub(super) pointsman: Vec<Row>,
    /// None where it was not asked for.
    pub(super) ceiling: Vec<Row>,
}
