//! What became of every event, held against what its publisher was told.

use std::collections::{BTreeMap, HashMap, HashSet};

use entity::{dead_letter_event, platform_event};
use sea_orm::{ColumnTrait as _, DatabaseConnection, EntityTrait as _, QueryFilter as _, QueryOrder as _};
use uuid::Uuid;

use super::{
    Ending, Tally, WINDOW, post,
    publishers::Outcome,
    receivers::{Receivers, Taken, Temper},
};
use crate::support::workspace::Workspace;

/// What is durable at the end.
pub(super) struct Record {
    workspaces: Vec<WorkspaceRecord>,
}

struct WorkspaceRecord {
    /// By seq.
    log: Vec<platform_event::Model>,
    /// By the extension's key, the ids of the events.
    dead: BTreeMap<String, HashSet<Uuid>>,
    letters: Vec<dead_letter_event::Model>,
}

impl Record {
    pub(super) async fn read(database: &DatabaseConnection, workspaces: &[Workspace]) -> Self {
        let mut records = Vec::new();
        for workspace in workspaces {
            records.push(WorkspaceRecord::read(database, workspace).await);
        }
        Self { workspaces: records }
    }
}

impl WorkspaceRecord {
    async fn read(database: &DatabaseConnection, workspace: &Workspace) -> Self {
        let id: Uuid = workspace.id.parse().expect("a workspace's id is a UUID");
        let log = platform_event::Entity::find()
            .filter(platform_event::Column::WorkspaceId.eq(id))
            .order_by_asc(platform_event::Column::Seq)
            .all(database)
            .await
            .expect("the log can be read");
        let letters = dead_letter_event::Entity::find()
            .filter(dead_letter_event::Column::WorkspaceId.eq(id))
            .all(database)
            .await
            .expect("the dead letters can be read");
        let mut dead: BTreeMap<String, HashSet<Uuid>> = BTreeMap::new();
        for letter in &letters {
            dead.entry(letter.extension_key.clone())
                .or_default()
                .insert(letter.event_id);
        }
        Self { log, dead, letters }
    }
}

/// The first of each kind, and how many there are.
#[derive(Default)]
struct Violations(BTreeMap<&'static str, (u64, String)>);

impl Violations {
    fn add(&mut self, kind: &'static str, example: impl FnOnce() -> String) {
        let entry = self.0.entry(kind).or_insert_with(|| (0, example()));
        entry.0 += 1;
    }

    fn into_words(self) -> Vec<String> {
        let words = self.0.into_iter();
        words
            .map(|(kind, (count, example))| format!("{kind}: {count}, such as {example}"))
            .collect()
    }
}

pub(super) fn audit(
    record: &Record,
    outcomes: &HashMap<u64, Outcome>,
    receivers: &Receivers,
    ending: Ending,
    kills: u64,
) -> Tally {
    let mut violations = Violations::default();
    let mut tally = Tally {
        kills,
        ..Tally::default()
    };
    let mut numbers = HashMap::new();
    for (index, workspace) in record.workspaces.iter().enumerate() {
        check_log(workspace, index, outcomes, &mut numbers, &mut violations);
        check_letters(workspace, &numbers, &mut violations);
        tally.dead += workspace.letters.len() as u64;
        for temper in Temper::ALL {
            let taken = receivers.taken(index, temper);
            tally.delivered += taken.events.len() as u64;
            tally.duplicates += taken.repeats.values().sum::<u64>();
            tally.lost += check_deliveries(workspace, temper, &taken, outcomes, &mut violations);
            check_taken(&taken, &numbers, ending, &mut violations);
        }
    }
    for (number, outcome) in outcomes {
        match (outcome, numbers.get(number)) {
            (Outcome::Acknowledged(id), Some(found)) if id == found => tally.acknowledged += 1,
            (Outcome::Acknowledged(id), found) => {
                tally.acknowledged += 1;
                tally.lost += 1;
                violations.add("acknowledged and not in the log", || {
                    format!("event {number}, {id}, found as {found:?}")
                });
            }
            (Outcome::Refused, Some(_)) => {
                violations.add("refused and in the log", || format!("event {number}"));
            }
            (Outcome::Unknown, Some(_)) => tally.recorded_unacknowledged += 1,
            (Outcome::Refused | Outcome::Unknown, None) => {}
        }
    }
    if ending == Ending::Kill {
        let sites = record.workspaces.len() * Temper::ALL.len();
        tally.duplicates_allowed = kills * (WINDOW * sites) as u64;
    }
    tally.violations = violations.into_words();
    tally
}

/// The log: no gaps, each publish once, all as it was sent. Collects the ids by number.
fn check_log(
    workspace: &WorkspaceRecord,
    index: usize,
    outcomes: &HashMap<u64, Outcome>,
    numbers: &mut HashMap<u64, Uuid>,
    violations: &mut Violations,
) {
    for (event, place) in workspace.log.iter().zip(1..) {
        if event.seq != place {
            violations.add("gaps in the order", || {
                format!("seq {} at place {place}", event.seq)
            });
        }
        let number = event.actor.as_deref().and_then(post::number_of);
        let Some(number) = number.filter(|number| outcomes.contains_key(number)) else {
            violations.add("events of nobody", || format!("{event:?}"));
            continue;
        };
        let as_sent = event.payload == post::payload(number)
            && event.event_key == post::event_key(number)
            && post::workspace_of(number) == index;
        if !as_sent {
            violations.add("events not as they were sent", || format!("{event:?}"));
        }
        if let Some(other) = numbers.insert(number, event.id) {
            violations.add("publishes recorded twice", || {
                format!("number {number} as {other} and {}", event.id)
            });
        }
    }
}

/// Each recorded event is delivered to, or dead for, each receiver that it is due to. Returns how many
/// deliveries of acknowledged events are lost.
fn check_deliveries(
    workspace: &WorkspaceRecord,
    temper: Temper,
    taken: &Taken,
    outcomes: &HashMap<u64, Outcome>,
    violations: &mut Violations,
) -> u64 {
    let mut lost = 0;
    let dead = workspace.dead.get(temper.name());
    for event in workspace
        .log
        .iter()
        .filter(|event| temper.is_due(&event.event_key))
    {
        let number = event
            .actor
            .as_deref()
            .and_then(post::number_of)
            .unwrap_or(u64::MAX);
        let is_dead = dead.is_some_and(|dead| dead.contains(&event.id));
        if is_dead || taken.events.contains_key(&number) {
            continue;
        }
        let is_acknowledged = matches!(outcomes.get(&number), Some(Outcome::Acknowledged(_)));
        lost += u64::from(is_acknowledged);
        let kind = if is_acknowledged {
            "acknowledged and lost"
        } else {
            "recorded, not acknowledged, and lost"
        };
        violations.add(kind, || {
            format!("event {number}, {}, seq {} to {temper:?}", event.id, event.seq)
        });
    }
    lost
}

/// What a receiver took was in the log, and was repeated within the window of its lane.
fn check_taken(taken: &Taken, numbers: &HashMap<u64, Uuid>, ending: Ending, violations: &mut Violations) {
    for wrong in &taken.wrong {
        violations.add("wrong deliveries", || wrong.clone());
    }
    for (number, (id, _)) in &taken.events {
        if numbers.get(number) != Some(id) {
            violations.add("delivered and not in the log", || format!("event {number}, {id}"));
        }
    }
    let allowed = match ending {
        Ending::Kill => WINDOW as u64,
        Ending::Terminate => 0,
    };
    for (ends, repeats) in &taken.repeats {
        if *repeats > allowed {
            violations.add("repeats beyond the window", || {
                format!("{repeats} after end {ends}, {allowed} allowed")
            });
        }
    }
}

fn check_letters(workspace: &WorkspaceRecord, numbers: &HashMap<u64, Uuid>, violations: &mut Violations) {
    for letter in &workspace.letters {
        let number = letter.actor.as_deref().and_then(post::number_of);
        let is_ours = number.is_some_and(|number| {
            numbers.get(&number) == Some(&letter.event_id) && letter.payload == post::payload(number)
        });
        if !is_ours {
            violations.add("dead letters of nothing sent", || format!("{letter:?}"));
        }
    }
}
