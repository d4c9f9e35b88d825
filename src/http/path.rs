//! Ids in paths.

use std::str::FromStr;

use super::problem::Problem;

/// The id of a thing below a workspace. A text that is no id names nothing: 404, as for an unknown one.
///
/// The id of the workspace itself is read in [`super::access`]: what a caller may learn about a workspace depends on
/// the caller.
///
/// # Errors
/// `NOT_FOUND` of `what`.
pub fn id<T: FromStr>(text: &str, what: &'static str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::not_found(what))
}
