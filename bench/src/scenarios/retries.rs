//! `retries`: a million parked retries of a service that is down.

use anyhow::Result;

use super::outage::{self, Held};
use crate::{bench::Bench, database::Engine, report::Table};

const NAME: &str = "retries";

pub(super) fn steps(runs: u64) -> u64 {
    outage::steps(Held::ParkedRetries, runs)
}

pub(super) async fn run(bench: &Bench, engine: Engine) -> Result<Vec<Table>> {
    let table = outage::table(bench, engine, NAME, Held::ParkedRetries).await?;
    Ok(vec![table])
}
