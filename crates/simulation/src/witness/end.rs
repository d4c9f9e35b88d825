//! Checks at the end of a simulated world, after a long time without faults.

use std::collections::BTreeSet;

use super::{PublishFate, Witness};
use crate::tables::{Installed, Letter, LetterStatus, Tables, live};
use pointsman_domain::{
    id::{EventId, InstallationId},
    seq::Seq,
};

impl Witness {
    /// What is still unfinished; none when nothing is.
    pub(crate) fn unfinished(&self, tables: &Tables) -> Option<String> {
        for (id, installed) in &tables.installations {
            if installed.is_held() {
                continue;
            }
            if installed.row.uninstalled_at.is_some() && !installed.row.closed {
                return Some(format!("{id} is uninstalled and not closed"));
            }
            let head = tables.head(installed.workspace());
            if let Some(event) = tables.due(installed, installed.cursor, head).first() {
                let seq = event.seq.get();
                return Some(format!("{id} has {} ({seq}) before it", event.id));
            }
            let parked = tables.retries.keys().find(|(installation, _)| installation == id);
            if let Some((_, key)) = parked {
                return Some(format!("{id} has {key:?} to be tried again"));
            }
        }
        None
    }

    /// Checks what holds of a world in which everything has ended.
    pub(crate) fn check_end(&mut self, tables: &Tables, window: usize) {
        self.check_publishes(tables);
        for (id, installed) in &tables.installations {
            self.check_deliveries(*id, installed, tables);
            self.check_repeats(*id, window);
            if let Some(running) = self.lanes.get(id).map(|lane| lane.running)
                && running > 0
            {
                self.violated(format!("{id} has {running} attempts running"));
            }
        }
        self.totals.letters = tables.letters.len() as u64;
    }

    fn check_publishes(&mut self, tables: &Tables) {
        let mut broken = Vec::new();
        let mut keys = BTreeSet::new();
        for (id, published) in &self.published {
            let position = tables.positions.get(id);
            if let (Some(key), Some((workspace, _))) = (&published.key, position)
                && !keys.insert((*workspace, key))
            {
                broken.push(format!("{key} has recorded {id} and another event"));
            }
            match published.fate {
                PublishFate::Acknowledged if position.is_none() => {
                    broken.push(format!("{id} was acknowledged and is not in the log"));
                }
                PublishFate::Refused if position.is_some() => {
                    broken.push(format!("{id} was refused and is in the log"));
                }
                _ => {}
            }
            if let Some((workspace, seq)) = position {
                let stored = tables.events(*workspace, seq.prev(), *seq).first();
                if *workspace != published.workspace
                    || stored.is_none_or(|stored| stored.payload != published.payload)
                {
                    broken.push(format!("{id} was stored as something else"));
                }
            }
        }
        broken.into_iter().for_each(|what| self.violated(what));
    }

    /// Every due event is delivered, or a dead letter; and not both.
    fn check_deliveries(&mut self, id: InstallationId, installed: &Installed, tables: &Tables) {
        let head = tables.head(installed.workspace());
        for event in tables.due(installed, Seq::ZERO, head) {
            let delivered = self.live_deliveries(id, event.id);
            let letter = tables.letter(id, event.id);
            let waits = event.seq > installed.cursor || tables.retries.contains_key(&(id, live(event.id)));
            let may_wait = installed.is_held();
            if delivered == 0 && letter.is_none() && !(waits && may_wait) {
                let seq = event.seq.get();
                self.violated(format!("{} ({seq}) is lost for {id}", event.id));
            }
            if delivered > 0 && letter.is_some() && self.successions(id) == 0 {
                self.violated(format!("{} is delivered to {id} and dead", event.id));
            }
            if letter.is_some_and(|letter| {
                letter.status == LetterStatus::Replaying && !replay_waits(letter, tables)
            }) {
                self.violated(format!(
                    "the replay of the letter of {} and {id} has not ended",
                    event.id
                ));
            }
        }
    }

    /// Each lane that took over from one that died may repeat a window of deliveries.
    fn check_repeats(&mut self, id: InstallationId, window: usize) {
        let repeated: u64 = self
            .deliveries
            .iter()
            .filter(|((installation, _), _)| *installation == id)
            .map(|(_, deliveries)| u64::from(deliveries.live.saturating_sub(1)))
            .sum();
        self.totals.repeated += repeated;
        let allowed = u64::from(self.successions(id)) * window as u64;
        if repeated > allowed {
            self.violated(format!(
                "{repeated} deliveries to {id} are repeated, {allowed} may be"
            ));
        }
    }

    fn live_deliveries(&self, id: InstallationId, event: EventId) -> u32 {
        self.deliveries
            .get(&(id, event))
            .map_or(0, |deliveries| deliveries.live)
    }

    /// How often a lane has taken over from another that did not end by itself.
    fn successions(&self, id: InstallationId) -> u32 {
        self.lanes.get(&id).map_or(0, |lane| lane.successions)
    }
}

/// Whether the replay of the letter waits for a held installation, which need not be the one that failed.
fn replay_waits(letter: &Letter, tables: &Tables) -> bool {
    tables.retries.iter().any(|((to, _), retry)| {
        retry.dead_letter_id == Some(letter.id)
            && tables.installations.get(to).is_some_and(Installed::is_held)
    })
}
