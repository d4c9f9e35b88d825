use crate::{bench::Bench, database::Engine, report::Table};
use anyhow::Result;
pub(super) fn steps(_runs: u64) -> u64 {
    0
}
pub(super) async fn run(_: &Bench, _: Engine) -> Result<Vec<Table>> {
    Ok(Vec::new())
}
