//! `ceiling`: the same load on a server that only parses, commits, answers and POSTs, in turns with Pointsman, and the
//! ratios of the two.

use super::rows::ThroughputRows;
use crate::{
    database::Engine,
    figures::{ACKS, ALL_CPU, BOTH, DATABASE_CPU, P50, SERVER_CPU},
    report::{Row, Table},
};

pub(crate) const NAME: &str = "ceiling";
const RATIOS: &[&str] = &[BOTH, ACKS, P50, SERVER_CPU, DATABASE_CPU, ALL_CPU];

pub(super) fn tables(engine: Engine, rows: &ThroughputRows) -> Vec<Table> {
    let itself = Table {
        scenario: NAME,
        database: engine,
        title: "The ceiling by connections".to_owned(),
        load: "Closed loop, as for Pointsman, run by run in turns with it".to_owned(),
        rows_are: "connections",
        rows: rows.ceiling.clone(),
        notes: Vec::new(),
    };
    let ratio = |(ours, theirs): (&Row, &Row)| {
        with_all_cpu(ours).ratios_to(ours.name.clone(), &with_all_cpu(theirs), RATIOS)
    };
    let ratios = Table {
        scenario: "ceiling-ratios",
        database: engine,
        title: "Pointsman to the ceiling".to_owned(),
        load: "The ratio of each pair of runs".to_owned(),
        rows_are: "connections",
        rows: rows.pointsman.iter().zip(&rows.ceiling).map(ratio).collect(),
        notes: Vec::new(),
    };
    vec![itself, ratios]
}

/// Adds the CPU time of server and database together. Only this sum can be compared between engines.
fn with_all_cpu(row: &Row) -> Row {
    let mut row = row.clone();
    let (Some(server), Some(database)) = (row.figure(SERVER_CPU), row.figure(DATABASE_CPU)) else {
        return row;
    };
    let pairs = server.runs.iter().zip(&database.runs);
    let sums: Vec<f64> = pairs.map(|(server, database)| server + database).collect();
    for sum in sums {
        row.add(ALL_CPU, sum);
    }
    row
}
