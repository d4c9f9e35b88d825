//! Whether it lasts.

use std::time::Duration;

use pointsman_test_kit::MIB;

use crate::{
    event::{Event, Fate},
    ledger::{Letters, Log},
    publishers::Publishers,
    receivers::Taken,
    samples::Sample,
};

/// The most that the write-ahead log may have at any time.
pub(crate) const LONGEST_LOG: u64 = 128 * MIB;
/// From this length on what grows is judged. Before, the first events have not become old.
const JUDGED_FROM: Duration = Duration::from_secs(600);
/// How much more the last third of the time may have than the second, of all and at least.
const SLACK: f64 = 0.1;
const LEAST_SLACK: f64 = 16.0 * 1024.0 * 1024.0;

/// Whether memory and file were as large in the last third of the time as in the second, and what they were.
pub(crate) fn growth(samples: &[Sample], lasted: Duration) -> (String, Vec<String>) {
    let mean_memory = |from, to| {
        let third: Vec<f64> = between(samples, from, to).map(|it| it.resident as f64).collect();
        third.iter().sum::<f64>() / third.len().max(1) as f64
    };
    let largest_file = |from, to| {
        let third = between(samples, from, to).map(|it| it.file);
        third.max().unwrap_or(0) as f64
    };
    let (second, last) = (lasted / 3, lasted * 2 / 3);
    let figures = [
        ("the memory", mean_memory(second, last), mean_memory(last, lasted)),
        ("the file", largest_file(second, last), largest_file(last, lasted)),
    ];
    let mut words = Vec::new();
    let mut broken = Vec::new();
    for (what, before, after) in figures {
        let said = format!(
            "{what} had {:.0} MiB in the second third of the time and {:.0} MiB in the last",
            before / MIB as f64,
            after / MIB as f64
        );
        if lasted >= JUDGED_FROM && after > before + (before * SLACK).max(LEAST_SLACK) {
            broken.push(said.clone());
        }
        words.push(said);
    }
    if lasted < JUDGED_FROM {
        words.push("too short to judge what grows".to_owned());
    }
    (words.join("; "), broken)
}

fn between(samples: &[Sample], from: Duration, to: Duration) -> impl Iterator<Item = &Sample> {
    samples.iter().filter(move |it| from <= it.at && it.at <= to)
}

/// What was acknowledged, and what became of it.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    pub(crate) acknowledged: u64,
    pub(crate) letters: u64,
    missing: u64,
    undelivered: u64,
    example: Option<u64>,
}

impl Losses {
    /// `kept_from`: all events from this number on are too young to be deleted.
    pub(crate) fn of(
        publishers: &Publishers,
        taken: &Taken,
        letters: &Letters,
        log: &Log,
        kept_from: u64,
    ) -> Self {
        let mut losses = Self {
            letters: letters.seen.count(),
            ..Self::default()
        };
        let acknowledged = (0..publishers.begun()).filter(|number| publishers.acknowledged.contains(*number));
        for number in acknowledged {
            losses.acknowledged += 1;
            let is_missing = number >= kept_from && !log.events.contains(number);
            let by_failing = match Event(number).fate() {
                None => true,
                Some(Fate::Refused) => letters.seen.contains(number),
                Some(Fate::Taken | Fate::TakenAgain) => {
                    taken.by_failing.contains(number) || letters.seen.contains(number)
                }
            };
            let is_undelivered = !by_failing || !taken.by_good.contains(number);
            losses.missing += u64::from(is_missing);
            losses.undelivered += u64::from(is_undelivered);
            if is_missing || is_undelivered {
                losses.example.get_or_insert(number);
            }
        }
        losses
    }

    pub(crate) fn lost(&self) -> u64 {
        self.missing + self.undelivered
    }

    pub(crate) fn broken(&self) -> Option<String> {
        (self.lost() > 0).then(|| {
            format!(
                "{} acknowledged events are too young to be deleted and not in the log, {} are neither delivered \
                 nor dead letters; such as number {:?}",
                self.missing, self.undelivered, self.example
            )
        })
    }
}
