//! What a batch does to the tables.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use sea_orm::DbErr;

use super::{Letter, LetterStatus, Retry, Tables};
use pointsman_domain::{
    attempt::DeadLetterReason,
    event::PlatformEvent,
    id::{DeadLetterId, EventId, InstallationId, WorkspaceId},
    lane::{DeliveryKey, LetterChange, ParkedRetry},
    seq::Seq,
};
use pointsman_journal::{
    Append, LetterCommand, SettleCommand,
    storage::{Batch, KeyName, StoredKey},
};
use pointsman_simulated_clock::Clock;

/// The database refuses an event with this in its payload.
pub(crate) const UNSTORABLE: &str = "unstorable";

/// The part of a batch that is stored.
#[derive(Clone, Debug)]
pub(crate) struct Effects {
    pub(crate) events: Vec<Arc<PlatformEvent>>,
    keys: Vec<(KeyName, StoredKey)>,
    pub(crate) settlements: Vec<Settled>,
    due: BTreeSet<WorkspaceId>,
}

/// One settlement.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    pub(crate) workspace: WorkspaceId,
    pub(crate) installation: InstallationId,
    generation: i64,
    settled: Seq,
    park: Vec<ParkedRetry>,
    /// The retry rows to remove, those of the letters included.
    pub(crate) remove: Vec<DeliveryKey>,
    letters: Vec<LetterEffect>,
}

impl fmt::Display for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in &self.events {
            write!(f, "[{} {}] ", event.seq.get(), event.id)?;
        }
        for settled in &self.settlements {
            let (id, generation, position) =
                (settled.installation, settled.generation, settled.settled.get());
            write!(f, "[{id}/{generation} to {position}")?;
            for parked in &settled.park {
                let (key, at) = (parked.key, parked.next_attempt_at.millis());
                write!(f, " park {:?} {} until {at}", key.kind, key.event_id)?;
            }
            for key in &settled.remove {
                write!(f, " remove {:?} {}", key.kind, key.event_id)?;
            }
            for letter in &settled.letters {
                match letter {
                    LetterEffect::Write(new) => write!(f, " dead {} {:?}", new.event.id, new.reason)?,
                    LetterEffect::Return(id, _) => write!(f, " return {id}")?,
                    LetterEffect::Replayed(id) => write!(f, " replayed {id}")?,
                }
            }
            f.write_str("] ")?;
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum LetterEffect {
    Write(Letter),
    Return(DeadLetterId, Letter),
    Replayed(DeadLetterId),
}

impl Effects {
    /// The deliveries that are given up for this reason.
    pub(crate) fn letters_as(
        &self,
        reason: DeadLetterReason,
    ) -> impl Iterator<Item = (InstallationId, EventId)> {
        self.settlements.iter().flat_map(move |settled| {
            let letters = settled.letters.iter().filter_map(|letter| match letter {
                LetterEffect::Write(letter) | LetterEffect::Return(_, letter) => Some(letter),
                LetterEffect::Replayed(_) => None,
            });
            letters
                .filter(move |letter| letter.reason == reason)
                .map(|letter| (settled.installation, letter.event.id))
        })
    }

    pub(crate) fn of(batch: &Batch, tables: &Tables) -> Self {
        Self {
            events: batch
                .appends
                .iter()
                .flat_map(|staged| staged.events.iter().map(Arc::clone))
                .collect(),
            keys: batch
                .appends
                .iter()
                .filter_map(|staged| key_of(&staged.append))
                .collect(),
            settlements: batch
                .settlements
                .iter()
                .map(|command| Settled::of(command, tables))
                .collect(),
            due: batch.due.clone(),
        }
    }
}

fn key_of(append: &Append) -> Option<(KeyName, StoredKey)> {
    let idempotency = append.idempotency.as_ref()?;
    let stored = StoredKey {
        body_sha256: idempotency.body_sha256.to_vec(),
        event_ids: append.events.iter().map(|event| event.id).collect(),
    };
    Some(((append.workspace_id, idempotency.key.clone()), stored))
}

impl Settled {
    fn of(command: &SettleCommand, tables: &Tables) -> Self {
        let keys = command.letters.iter().map(|letter| letter.change.key());
        Self {
            workspace: command.workspace_id,
            installation: command.installation_id,
            generation: command.generation,
            settled: command.settled,
            park: command.park.clone(),
            remove: command.remove.iter().copied().chain(keys).collect(),
            letters: command
                .letters
                .iter()
                .filter_map(|letter| LetterEffect::of(command, letter, tables))
                .collect(),
        }
    }
}

impl LetterEffect {
    fn of(command: &SettleCommand, letter: &LetterCommand, tables: &Tables) -> Option<Self> {
        let given_up = match &letter.change {
            LetterChange::Replayed { .. } => return Some(Self::Replayed(letter.id)),
            LetterChange::GivenUp(given_up) => given_up,
        };
        Some(match given_up.dead_letter_id {
            None => Self::Write(Letter {
                id: letter.id,
                workspace: command.workspace_id,
                installation: command.installation_id,
                extension_key: letter.extension_key.to_string(),
                event: Arc::clone(&given_up.event),
                reason: given_up.reason,
                attempts: given_up.attempts,
                last_error: given_up.last_error.clone(),
                last_status: given_up.last_status,
                status: LetterStatus::Dead,
            }),
            Some(id) => {
                let mut letter = tables.letters.get(&id)?.clone();
                letter.reason = given_up.reason;
                letter.attempts = given_up.attempts;
                letter.last_error = given_up.last_error.clone();
                letter.last_status = given_up.last_status;
                letter.status = LetterStatus::Dead;
                Self::Return(id, letter)
            }
        })
    }
}

impl Tables {
    /// Why the database would refuse the batch because of its data.
    ///
    /// # Errors
    /// With the message of a database.
    pub(crate) fn check(&self, effects: &Effects) -> Result<(), DbErr> {
        let refused = |what: &str| Err(DbErr::Type(what.to_owned()));
        let mut heads: BTreeMap<WorkspaceId, Seq> = BTreeMap::new();
        let mut ids: BTreeSet<EventId> = BTreeSet::new();
        for event in &effects.events {
            if event.payload.contains(UNSTORABLE) {
                return refused("the payload cannot be stored");
            }
            if self.positions.contains_key(&event.id) || !ids.insert(event.id) {
                return refused("UNIQUE constraint failed: platform_event.id");
            }
            let head = heads
                .entry(event.workspace_id)
                .or_insert_with(|| self.head(event.workspace_id));
            if event.seq <= *head {
                return refused("UNIQUE constraint failed: platform_event.seq");
            }
            *head = event.seq;
        }
        Ok(())
    }

    /// Does what the statements of a batch do, in their order.
    pub(crate) fn apply(&mut self, effects: &Effects) {
        self.mark_due(effects.due.iter().copied());
        for event in &effects.events {
            self.positions.insert(event.id, (event.workspace_id, event.seq));
            self.logs
                .entry(event.workspace_id)
                .or_default()
                .push(Arc::clone(event));
        }
        for (name, stored) in &effects.keys {
            self.keys.insert(name.clone(), (stored.clone(), Clock.now()));
        }
        for settled in &effects.settlements {
            self.move_cursor(settled);
        }
        for settled in &effects.settlements {
            for parked in &settled.park {
                self.park(settled.installation, parked);
            }
        }
        for settled in &effects.settlements {
            for letter in &settled.letters {
                self.change_letter(letter);
            }
        }
        for settled in &effects.settlements {
            for key in &settled.remove {
                self.retries.remove(&(settled.installation, *key));
            }
        }
    }

    fn move_cursor(&mut self, settled: &Settled) {
        if let Some(installed) = self.installations.get_mut(&settled.installation)
            && installed.cursor <= settled.settled
        {
            installed.cursor = settled.settled;
            installed.generation = settled.generation;
        }
    }

    fn park(&mut self, installation: InstallationId, parked: &ParkedRetry) {
        let row = self
            .retries
            .entry((installation, parked.key))
            .or_insert_with(|| Retry {
                seq: parked.seq,
                attempts: 0,
                next_attempt_at: parked.next_attempt_at,
                last_error: None,
                last_status: None,
                dead_letter_id: None,
            });
        row.attempts = parked.attempts;
        row.next_attempt_at = parked.next_attempt_at;
        row.last_error = parked.last_error.clone();
        row.last_status = parked.last_status;
    }

    fn change_letter(&mut self, effect: &LetterEffect) {
        match effect {
            LetterEffect::Write(letter) => {
                let key = (letter.installation, letter.event.id);
                if let std::collections::btree_map::Entry::Vacant(entry) = self.letter_of.entry(key) {
                    entry.insert(letter.id);
                    self.letters.insert(letter.id, letter.clone());
                }
            }
            LetterEffect::Return(id, returned) => {
                if let Some(letter) = self.replaying(*id) {
                    *letter = returned.clone();
                }
            }
            LetterEffect::Replayed(id) => {
                if let Some(letter) = self.replaying(*id) {
                    letter.status = LetterStatus::Replayed;
                    letter.attempts += 1;
                }
            }
        }
    }

    fn replaying(&mut self, id: DeadLetterId) -> Option<&mut Letter> {
        self.letters
            .get_mut(&id)
            .filter(|letter| letter.status == LetterStatus::Replaying)
    }
}
