//! What is durable in a simulated world: the tables, as transactions change them.

pub(super) mod changes;
pub(super) mod due;
pub(super) mod effects;
pub(super) mod reads;

use std::{collections::BTreeMap, sync::Arc};

use pointsman_domain::{
    attempt::{DeadLetterReason, DeliveryKind},
    event::PlatformEvent,
    handler_name::HandlerName,
    id::{DeadLetterId, EventId, InstallationId, WorkspaceId},
    installation::Installation,
    lane::DeliveryKey,
    seq::Seq,
    span::{Span, is_due},
    timestamp::Timestamp,
};
use pointsman_journal::{
    changes::StoredSpan,
    storage::{KeyName, StoredKey},
};

#[derive(Debug, Default)]
pub(super) struct Tables {
    /// The event at position n is at index n − 1.
    pub(super) logs: BTreeMap<WorkspaceId, Vec<Arc<PlatformEvent>>>,
    pub(super) positions: BTreeMap<EventId, (WorkspaceId, Seq)>,
    pub(super) installations: BTreeMap<InstallationId, Installed>,
    pub(super) retries: BTreeMap<(InstallationId, DeliveryKey), Retry>,
    pub(super) letters: BTreeMap<DeadLetterId, Letter>,
    /// Idempotency keys, and when they were stored.
    pub(super) keys: BTreeMap<KeyName, (StoredKey, Timestamp)>,
    /// The engine's time when it was last written.
    pub(super) last_seen: Timestamp,
    pub(super) letter_of: BTreeMap<(InstallationId, EventId), DeadLetterId>,
    /// When at the latest somebody has to look at a workspace.
    pub(super) due: BTreeMap<WorkspaceId, Timestamp>,
}

#[derive(Debug)]
pub(super) struct Installed {
    pub(super) row: Installation,
    pub(super) spans: Vec<StoredSpan>,
    pub(super) cursor: Seq,
    pub(super) generation: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Retry {
    pub(super) seq: Seq,
    pub(super) attempts: u32,
    pub(super) next_attempt_at: Timestamp,
    pub(super) last_error: Option<String>,
    pub(super) last_status: Option<u16>,
    pub(super) dead_letter_id: Option<DeadLetterId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LetterStatus {
    Dead,
    Replaying,
    Replayed,
    Discarded,
}

#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) id: DeadLetterId,
    pub(super) workspace: WorkspaceId,
    pub(super) installation: InstallationId,
    pub(super) extension_key: String,
    pub(super) event: Arc<PlatformEvent>,
    pub(super) reason: DeadLetterReason,
    pub(super) attempts: u32,
    pub(super) last_error: Option<String>,
    pub(super) last_status: Option<u16>,
    pub(super) status: LetterStatus,
}

impl Installed {
    pub(super) fn id(&self) -> InstallationId {
        self.row.id
    }

    pub(super) fn workspace(&self) -> WorkspaceId {
        self.row.workspace_id
    }

    pub(super) fn is_held(&self) -> bool {
        self.row.uninstalled_at.is_none() && (self.row.paused || !self.row.enabled)
    }

    /// All spans, also those that are over.
    pub(super) fn all_spans(&self) -> Vec<Span> {
        self.spans.iter().map(|stored| stored.span.clone()).collect()
    }
}

pub(super) const fn live(event_id: EventId) -> DeliveryKey {
    DeliveryKey {
        kind: DeliveryKind::Live,
        event_id,
        handler: HandlerName::WHOLE,
    }
}

pub(super) const fn replay(event_id: EventId) -> DeliveryKey {
    DeliveryKey {
        kind: DeliveryKind::Replay,
        event_id,
        handler: HandlerName::WHOLE,
    }
}

impl Tables {
    pub(super) fn head(&self, workspace: WorkspaceId) -> Seq {
        let length = self.logs.get(&workspace).map_or(0, Vec::len);
        Seq::new(i64::try_from(length).unwrap_or(i64::MAX))
    }

    /// The events in `(after, through]`, in order.
    pub(super) fn events(&self, workspace: WorkspaceId, after: Seq, through: Seq) -> &[Arc<PlatformEvent>] {
        let log = self.logs.get(&workspace).map_or(&[][..], Vec::as_slice);
        let index = |seq: Seq| usize::try_from(seq.get()).unwrap_or(0).min(log.len());
        log.get(index(after)..index(through)).unwrap_or_default()
    }

    /// The events in `(after, through]` that are due to the installation.
    pub(super) fn due(&self, installed: &Installed, after: Seq, through: Seq) -> Vec<Arc<PlatformEvent>> {
        let spans = installed.all_spans();
        self.events(installed.workspace(), after, through)
            .iter()
            .filter(|event| is_due(&spans, event.seq, &event.event_key))
            .map(Arc::clone)
            .collect()
    }

    pub(super) fn letter(&self, installation: InstallationId, event: EventId) -> Option<&Letter> {
        self.letters.get(self.letter_of.get(&(installation, event))?)
    }

    /// Moves stored times back where the clock shows an earlier time than the last one written.
    pub(super) fn catch_up(&mut self, now: Timestamp) {
        let last_seen = std::mem::replace(&mut self.last_seen, now);
        if last_seen.millis() <= now.millis() + 1000 {
            return;
        }
        for row in self.retries.values_mut() {
            row.next_attempt_at = now + row.next_attempt_at.since(last_seen);
        }
        for due_at in self.due.values_mut().filter(|due_at| **due_at > now) {
            *due_at = now + due_at.since(last_seen);
        }
        for (_, created_at) in self.keys.values_mut() {
            *created_at = (*created_at).min(now);
        }
        for installed in self.installations.values_mut() {
            installed.row.held_since = installed.row.held_since.map(|since| since.min(now));
        }
    }

    pub(super) fn last_generation(&self) -> i64 {
        self.installations
            .values()
            .map(|installed| installed.generation)
            .max()
            .unwrap_or(0)
    }
}
