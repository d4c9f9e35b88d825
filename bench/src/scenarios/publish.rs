//! `publish`: throughput and latency by connections, with one subscriber.

use super::rows::ThroughputRows;
use crate::{database::Engine, report::Table};

pub(crate) const NAME: &str = "publish";

pub(super) fn table(engine: Engine, rows: &ThroughputRows) -> Table {
    Table {
        scenario: NAME,
        database: engine,
        title: "Publish by connections".to_owned(),
        load: "Closed loop, one subscriber; deliveries are counted until the last one has come, `lag` is how long \
               after the end of the load that was. `fsync` is 4 KiB written and made durable by the bench itself in \
               the same folder, just before"
            .to_owned(),
        rows_are: "connections",
        rows: rows.pointsman.clone(),
        notes: Vec::new(),
    }
}
