//! What became of every event, compared with what its publisher was told.

use std::collections::{BTreeMap, HashMap, HashSet};

use entity::{dead_letter_event, ext_delivery_attempt, ext_installation, platform_event, workspace_log};
use sea_orm::{ColumnTrait as _, DatabaseConnection, EntityTrait as _, QueryFilter as _, QueryOrder as _};
use uuid::Uuid;

use super::{
    campaign::{Ending, Tally, WINDOW},
    post,
    publishers::Outcome,
    receivers::{ReceiverKind, Receivers, Repeat, Taken},
};
use crate::workspace::Workspace;

/// What is durable at the end.
pub(crate) struct Record {
    workspaces: Vec<WorkspaceRecord>,
}

struct WorkspaceRecord {
    /// The events in the order of their seq.
    log: Vec<platform_event::Model>,
    /// How many were deleted because they were old.
    deleted: i64,
    /// The ids of the events that are dead letters, by the extension's key.
    dead: BTreeMap<String, HashSet<Uuid>>,
    letters: Vec<dead_letter_event::Model>,
    /// The attempts that ended without an answer, by the extension's key and the event's id.
    unanswered: HashMap<(String, Uuid), Vec<ext_delivery_attempt::Model>>,
}

/// How long after the end of its attempt a receiver may still take what it was sent.
const LATE_MS: i64 = 2_000;

impl Record {
    pub(crate) async fn read(database: &DatabaseConnection, workspaces: &[Workspace]) -> Self {
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
        let pruned = workspace_log::Entity::find_by_id(id)
            .one(database)
            .await
            .expect("the state of the log can be read");
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
        let keys: HashMap<Uuid, String> = ext_installation::Entity::find()
            .filter(ext_installation::Column::WorkspaceId.eq(id))
            .all(database)
            .await
            .expect("the installations can be read")
            .into_iter()
            .map(|installed| (installed.id, installed.key))
            .collect();
        let attempts = ext_delivery_attempt::Entity::find()
            .filter(ext_delivery_attempt::Column::WorkspaceId.eq(id))
            .filter(ext_delivery_attempt::Column::Outcome.ne("DELIVERED"))
            .filter(ext_delivery_attempt::Column::HttpStatus.is_null())
            .all(database)
            .await
            .expect("the history can be read");
        let mut unanswered: HashMap<_, Vec<_>> = HashMap::new();
        for attempt in attempts {
            let key = keys.get(&attempt.installation_id).cloned().unwrap_or_default();
            unanswered
                .entry((key, attempt.event_id))
                .or_default()
                .push(attempt);
        }
        Self {
            log,
            deleted: pruned.map_or(0, |log| log.pruned_through),
            dead,
            letters,
            unanswered,
        }
    }

    /// Whether the delivery was repeated because its attempt timed out although the receiver had taken it, as on a
    /// machine that stood still. Such a repeat is not caused by a crash.
    fn is_for_want_of_an_answer(&self, kind: ReceiverKind, repeat: &Repeat) -> bool {
        let key = (kind.name().to_owned(), repeat.event_id);
        let before = repeat.before.millis();
        self.unanswered.get(&key).is_some_and(|attempts| {
            attempts.iter().any(|attempt| {
                let end = attempt.attempted_at + attempt.duration_ms;
                attempt.attempted_at <= before && before <= end + LATE_MS
            })
        })
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

pub(crate) fn audit(
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
        let deleted = deleted_events(workspace, index, outcomes, receivers, &numbers, &mut violations);
        numbers.extend(deleted.iter().map(|(number, id)| (*number, *id)));
        check_letters(workspace, &numbers, &mut violations);
        tally.dead += workspace.letters.len() as u64;
        for kind in ReceiverKind::ALL {
            let taken = receivers.taken(index, kind);
            tally.delivered += taken.events.len() as u64;
            tally.lost += check_deliveries(workspace, &deleted, kind, &taken, outcomes, &mut violations);
            check_taken(&taken, &numbers, &mut violations);
            for (life, repeats) in &taken.repeats {
                let (unanswered, of_ends): (Vec<&Repeat>, Vec<&Repeat>) = repeats
                    .iter()
                    .partition(|repeat| workspace.is_for_want_of_an_answer(kind, repeat));
                tally.timed_out += unanswered.len() as u64;
                tally.duplicates += of_ends.len() as u64;
                for repeat in of_ends.iter().filter(|repeat| repeat.at_once) {
                    violations.add("repeats without an end", || format!("{repeat:?} to {kind:?}"));
                }
                let allowed = if ending.is_kill() { WINDOW } else { 0 };
                if of_ends.len() > allowed {
                    violations.add("repeats beyond the window", || {
                        format!(
                            "{} to {kind:?} of workspace {index} that life {life} had delivered, {allowed} allowed",
                            of_ends.len()
                        )
                    });
                }
            }
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
    if ending.is_kill() {
        let receivers = record.workspaces.len() * ReceiverKind::ALL.len();
        tally.duplicates_allowed = kills * (WINDOW * receivers) as u64;
    }
    tally.violations = violations.into_words();
    tally
}

/// The events that must have been recorded and are not in the log, by number. All of them were deleted because they
/// were old, or some are lost: then there are more of them than were deleted.
fn deleted_events(
    workspace: &WorkspaceRecord,
    index: usize,
    outcomes: &HashMap<u64, Outcome>,
    receivers: &Receivers,
    numbers: &HashMap<u64, Uuid>,
    violations: &mut Violations,
) -> BTreeMap<u64, Uuid> {
    let mut deleted = BTreeMap::new();
    if workspace.deleted == 0 {
        return deleted;
    }
    let is_gone = |number: &u64| post::workspace_of(*number) == index && !numbers.contains_key(number);
    for (number, outcome) in outcomes.iter().filter(|(number, _)| is_gone(number)) {
        if let Outcome::Acknowledged(id) = outcome {
            deleted.insert(*number, *id);
        }
    }
    // Their publishers were told nothing; their receivers and letters know them.
    let unanswered = |number: &u64| outcomes.get(number) == Some(&Outcome::Unknown);
    for kind in ReceiverKind::ALL {
        let taken = receivers.taken(index, kind).events;
        let taken = taken
            .into_iter()
            .filter(|(number, _)| is_gone(number) && unanswered(number));
        deleted.extend(taken.map(|(number, taken)| (number, taken.id)));
    }
    let letters = workspace.letters.iter();
    let letters =
        letters.filter_map(|letter| Some((post::number_of(letter.actor.as_deref()?)?, letter.event_id)));
    deleted.extend(letters.filter(|(number, _)| is_gone(number) && unanswered(number)));
    if deleted.len() as u64 > workspace.deleted.unsigned_abs() {
        violations.add("gone and not deleted", || {
            format!(
                "{} are gone and {} were deleted",
                deleted.len(),
                workspace.deleted
            )
        });
    }
    deleted
}

/// The log: no gaps, each publish once, all as it was sent. Collects the ids by number.
fn check_log(
    workspace: &WorkspaceRecord,
    index: usize,
    outcomes: &HashMap<u64, Outcome>,
    numbers: &mut HashMap<u64, Uuid>,
    violations: &mut Violations,
) {
    for (event, position) in workspace.log.iter().zip(workspace.deleted + 1..) {
        if event.seq != position {
            violations.add("gaps in the order", || {
                format!("seq {} at position {position}", event.seq)
            });
        }
        let number = event.actor.as_deref().and_then(post::number_of);
        let Some(number) = number.filter(|number| outcomes.contains_key(number)) else {
            violations.add("events of no publisher", || format!("{event:?}"));
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
    deleted: &BTreeMap<u64, Uuid>,
    kind: ReceiverKind,
    taken: &Taken,
    outcomes: &HashMap<u64, Outcome>,
    violations: &mut Violations,
) -> u64 {
    let mut lost = 0;
    let dead = workspace.dead.get(kind.name());
    let in_log = workspace.log.iter().map(|event| {
        let number = event.actor.as_deref().and_then(post::number_of);
        (number.unwrap_or(u64::MAX), event.id)
    });
    let recorded = in_log.chain(deleted.iter().map(|(number, id)| (*number, *id)));
    for (number, id) in recorded.filter(|(number, _)| kind.is_due(post::event_key(*number))) {
        let is_dead = dead.is_some_and(|dead| dead.contains(&id));
        if is_dead || taken.events.contains_key(&number) {
            continue;
        }
        let is_acknowledged = matches!(outcomes.get(&number), Some(Outcome::Acknowledged(_)));
        lost += u64::from(is_acknowledged);
        let what = if is_acknowledged {
            "acknowledged and lost"
        } else {
            "recorded, not acknowledged, and lost"
        };
        violations.add(what, || format!("event {number}, {id}, to {kind:?}"));
    }
    lost
}

/// What a receiver took was in the log.
fn check_taken(taken: &Taken, numbers: &HashMap<u64, Uuid>, violations: &mut Violations) {
    for wrong in &taken.wrong {
        violations.add("wrong deliveries", || wrong.clone());
    }
    for (number, taken) in &taken.events {
        if numbers.get(number) != Some(&taken.id) {
            violations.add("delivered and not in the log", || {
                format!("event {number}, {}", taken.id)
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
