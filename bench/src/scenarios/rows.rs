//! The figures of closed-loop load, by connections.

use crate::report::Row;

/// A row for each number of connections.
pub(super) struct ThroughputRows {
    pub(super) pointsman: Vec<Row>,
    /// Empty if the ceiling was not measured.
    pub(super) ceiling: Vec<Row>,
}
