//! The charts of a report.

use crate::{
    chart::{Bar, BarGroup, Chart, Panel, Scale},
    database::Engine,
    figures::{ACKS, BOTH},
    report::{Report, Table},
    scenarios::{CEILING, GROWTH, LATENCY, PUBLISH},
};

const ENGINES: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

/// The file name and the text of each chart that has something to show.
pub(crate) fn of(report: &Report) -> Vec<(String, String)> {
    let charts = [
        ("throughput.svg", throughput(report)),
        ("latency.svg", latency(report)),
        ("growth.svg", growth(report)),
    ];
    charts
        .into_iter()
        .filter_map(|(name, chart)| Some((name.to_owned(), chart.svg()?)))
        .collect()
}

fn throughput(report: &Report) -> Chart {
    let panel = |engine| {
        let publish = report.table(PUBLISH, engine)?;
        let ceiling = report.table(CEILING, engine);
        let groups = publish.rows.iter().map(|row| BarGroup {
            name: row.name.clone(),
            bars: vec![bar(Some(publish), &row.name, BOTH), bar(ceiling, &row.name, BOTH)],
        });
        Some(groups.collect())
    };
    Chart {
        title: "Events acknowledged and delivered per second",
        subtitle: "Closed loop, one subscriber. Load, receiver, server and database share the machine. The line is \
                   the spread of the runs.",
        groups_are: "connections",
        scale: Scale::Linear,
        series: vec!["Pointsman", "ceiling: parse, commit, answer, POST"],
        panels: panels(panel),
    }
}

fn latency(report: &Report) -> Chart {
    const FIGURES: [&str; 3] = ["receive p50 ms", "receive p99 ms", "receive p99.9 ms"];
    let panel = |engine| {
        let table = report.table(LATENCY, engine)?;
        let groups = table.rows.iter().map(|row| BarGroup {
            name: row.name.clone(),
            bars: FIGURES
                .iter()
                .map(|figure| bar(Some(table), &row.name, figure))
                .collect(),
        });
        Some(groups.collect())
    };
    Chart {
        title: "From publish to receipt, in milliseconds",
        subtitle: "Open loop, from the time at which an event should have left. Logarithmic. The line is the spread of \
                   the runs.",
        groups_are: "events published",
        scale: Scale::Logarithmic,
        series: vec!["p50", "p99", "p99.9"],
        panels: panels(panel),
    }
}

fn growth(report: &Report) -> Chart {
    let panel = |engine| {
        let table = report.table(GROWTH, engine)?;
        // The rows of ratios are left out: their names are those of two rows.
        let sizes = table.rows.iter().filter(|row| !row.name.contains(" to "));
        let groups = sizes.map(|row| BarGroup {
            name: row.name.clone(),
            bars: vec![bar(Some(table), &row.name, ACKS)],
        });
        Some(groups.collect())
    };
    Chart {
        title: "Events acknowledged per second, by events stored already",
        subtitle: "Closed loop, 64 connections, one subscriber. The line is the spread of the runs.",
        groups_are: "events stored",
        scale: Scale::Linear,
        series: vec!["Pointsman"],
        panels: panels(panel),
    }
}

fn panels(groups: impl Fn(Engine) -> Option<Vec<BarGroup>>) -> Vec<Panel> {
    let panel = |engine: Engine| {
        Some(Panel {
            title: engine.name(),
            groups: groups(engine)?,
        })
    };
    ENGINES.into_iter().filter_map(panel).collect()
}

fn bar(table: Option<&Table>, row: &str, figure: &str) -> Option<Bar> {
    table?.row(row)?.figure(figure).map(Bar::from)
}
