//! Whether an attempt may start: whether its event is due and not settled, in order, and within the concurrency.

use std::time::Duration;

use super::Witness;
use crate::tables::{Installed, Tables, live};
use pointsman_domain::{
    attempt::DeliveryKind,
    event::PlatformEvent,
    id::{EventId, InstallationId},
    span::is_due,
};
use pointsman_simulated_clock::Clock;

/// How long after an admin was told that an installation is held its last attempts may start.
const HOLD_GRACE: Duration = Duration::from_secs(1);

impl Witness {
    /// Says what is wrong with an attempt that is about to start.
    pub(super) fn may_start(
        &mut self,
        id: InstallationId,
        event: &PlatformEvent,
        kind: DeliveryKind,
        tables: &Tables,
    ) -> Result<(), String> {
        let Some(installed) = tables.installations.get(&id) else {
            return Err("without being installed".to_owned());
        };
        if installed.workspace() != event.workspace_id {
            return Err("of another workspace".to_owned());
        }
        let published = self.published.get(&event.id);
        if published.is_none_or(|published| published.payload != event.payload) {
            return Err("with another payload".to_owned());
        }
        let lane = self.lanes.entry(id).or_default();
        if lane
            .held_since
            .is_some_and(|since| Clock.now() > since + HOLD_GRACE)
        {
            return Err("although it is held".to_owned());
        }
        let limits = lane
            .limits
            .filter(|(since, _)| Clock.now() > *since + HOLD_GRACE)
            .map(|(_, limits)| limits);
        if limits.is_some_and(|limits| lane.running >= limits.at_most) {
            return Err(format!("beside {} others", lane.running));
        }
        if kind == DeliveryKind::Replay {
            return Ok(());
        }
        if limits.is_some_and(|limits| limits.ordered_after.is_some_and(|after| after < event.seq))
            && let Some(other) = self.one_before(installed, event, tables)
        {
            return Err(format!("before {other} is done"));
        }
        let lane = self.lanes.entry(id).or_default();
        if !is_due(&installed.all_spans(), event.seq, &event.event_key) {
            return Err("which is not due to it".to_owned());
        }
        let parked = tables.retries.contains_key(&(id, live(event.id)));
        if event.seq <= installed.cursor && !parked {
            return Err("although it is settled".to_owned());
        }
        if tables.letter(id, event.id).is_some() {
            return Err("although it is dead".to_owned());
        }
        if lane.started.insert(event.id) {
            let last = std::mem::replace(&mut lane.last_first, event.seq);
            if last > event.seq {
                return Err(format!("after {}", last.get()));
            }
        }
        Ok(())
    }

    /// A due event before this one that is neither delivered nor dead. Left out is what was parked beyond the cursor
    /// before the installation was ordered.
    fn one_before(&self, installed: &Installed, event: &PlatformEvent, tables: &Tables) -> Option<EventId> {
        let id = installed.id();
        let mut parked = tables
            .retries
            .iter()
            .filter(|((of, key), _)| *of == id && key.kind == DeliveryKind::Live)
            .map(|((_, key), row)| (key.event_id, row.seq));
        if parked
            .clone()
            .any(|(_, seq)| seq > installed.cursor && seq >= event.seq)
        {
            return None;
        }
        let is_open = |other: &EventId| !self.is_done(id, *other, tables);
        parked
            .find(|(other, seq)| *seq < event.seq && is_open(other))
            .map(|(other, _)| other)
            .or_else(|| {
                let due = tables.due(installed, installed.cursor, event.seq.prev());
                due.into_iter().map(|other| other.id).find(is_open)
            })
    }
}
