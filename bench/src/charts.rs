//! The charts of a report.

use crate::report::Report;

pub(crate) fn of(_report: &Report) -> Vec<(String, String)> {
    Vec::new()
}
