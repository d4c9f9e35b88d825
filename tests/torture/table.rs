//! What came of it, for a person.

use pointsman_test_kit::{
    Engine,
    crash::{Campaign, Ending, Tally},
};

/// All campaigns of one database and one way to end.
#[derive(Debug)]
pub(crate) struct Row {
    engine: Engine,
    ending: Ending,
    rounds: u32,
    first_seed: u64,
    last_seed: u64,
    total: Tally,
}

impl Row {
    pub(crate) fn new(engine: Engine, ending: Ending, first_seed: u64) -> Self {
        Self {
            engine,
            ending,
            rounds: 0,
            first_seed,
            last_seed: first_seed,
            total: Tally::default(),
        }
    }

    pub(crate) fn add(&mut self, campaign: Campaign, tally: Tally) {
        let mut violations = tally.violations;
        if tally.duplicates > tally.duplicates_allowed {
            violations.push(format!(
                "{} deliveries were repeated, {} at most may be",
                tally.duplicates, tally.duplicates_allowed
            ));
        }
        if tally.acknowledged < u64::from(campaign.rounds) || tally.delivered < tally.acknowledged {
            violations.push("too little happened for anything to be shown".to_owned());
        }
        self.rounds += campaign.rounds;
        self.last_seed = campaign.seed;
        let total = &mut self.total;
        total.kills += tally.kills;
        total.acknowledged += tally.acknowledged;
        total.recorded_unacknowledged += tally.recorded_unacknowledged;
        total.delivered += tally.delivered;
        total.dead += tally.dead;
        total.duplicates += tally.duplicates;
        total.timed_out += tally.timed_out;
        total.duplicates_allowed += tally.duplicates_allowed;
        total.lost += tally.lost;
        let of_campaign = violations.into_iter().map(|what| format!("{campaign:?}: {what}"));
        total.violations.extend(of_campaign);
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.total.lost == 0 && self.total.violations.is_empty()
    }

    fn cells(&self) -> [String; 12] {
        let total = &self.total;
        [
            format!("{:?}", self.engine),
            match self.ending {
                Ending::Kill => "SIGKILL".to_owned(),
                Ending::Terminate => "SIGTERM".to_owned(),
                Ending::KillAtFirstStart => "SIGKILL, first start".to_owned(),
                Ending::KillWhileMigrating => "SIGKILL, migration".to_owned(),
                Ending::KillWhilePruning => "SIGKILL, pruning".to_owned(),
                Ending::KillOfBackup => "SIGKILL, backup and restore".to_owned(),
            },
            self.rounds.to_string(),
            total.kills.to_string(),
            total.acknowledged.to_string(),
            total.recorded_unacknowledged.to_string(),
            total.delivered.to_string(),
            total.dead.to_string(),
            total.lost.to_string(),
            format!("{} / {}", total.duplicates, total.duplicates_allowed),
            total.timed_out.to_string(),
            format!("{}-{}", self.first_seed, self.last_seed),
        ]
    }
}

const HEAD: [&str; 12] = [
    "database",
    "ending",
    "rounds",
    "kills",
    "acknowledged",
    "recorded without answer",
    "delivered",
    "dead",
    "lost",
    "duplicates / at most",
    "timed out and repeated",
    "seeds",
];

/// Events are counted once; deliveries, dead letters and duplicates once for each receiver.
pub(crate) fn print(rows: &[Row]) {
    let rows_of_cells: Vec<[String; 12]> = rows.iter().map(Row::cells).collect();
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|column| {
            let cells = rows_of_cells.iter().map(|cells| cells[column].len());
            cells.fold(HEAD[column].len(), usize::max)
        })
        .collect();
    let show = |cells: Vec<&str>| {
        let padded = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:>width$}"));
        line(&format!("| {} |", padded.collect::<Vec<_>>().join(" | ")));
    };
    line("");
    show(HEAD.to_vec());
    let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    show(rules.iter().map(String::as_str).collect());
    for cells in &rows_of_cells {
        show(cells.iter().map(String::as_str).collect());
    }
    for row in rows {
        for what in &row.total.violations {
            line(&format!("BROKEN: {what}"));
        }
    }
}

#[expect(clippy::print_stdout, reason = "the table is for the person at the terminal")]
fn line(text: &str) {
    println!("{text}");
}
