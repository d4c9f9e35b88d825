//! The rows that one transaction changes, as data. They are put together before the transaction begins. A storage has
//! one way to write them: for a batch of the group commit, for an effect, and for an admin's replay.

use std::collections::{BTreeSet, HashMap};

use pointsman_domain::{
    event::PlatformEvent,
    id::{DeadLetterId, EventId, InstallationId, WorkspaceId},
    installation::Installation,
    lane::{DeliveryKey, GivenUp, LetterChange, ParkedRetry},
    seq::Seq,
    span::{Span, SpanCloseReason},
    timestamp::Timestamp,
};
use uuid::Uuid;

use super::{
    batch::{Batch, Cursor},
    command::LetterCommand,
};

/// The changes of one transaction. Rows of a kind are written together.
#[derive(Debug, Default)]
pub struct Changes<'a> {
    /// Events at their positions.
    pub events: Vec<&'a PlatformEvent>,
    /// Idempotency keys, with the events recorded under them. One that is stored already is replaced.
    pub keys: Vec<UsedKey<'a>>,
    /// Cursors never move back.
    pub cursors: Vec<Cursor>,
    /// Deliveries that are attempted again later. Each occurs at most once.
    pub parked: Vec<Parked<'a>>,
    /// Deliveries that leave the retry table, if they are in it.
    pub removed: Vec<(InstallationId, DeliveryKey)>,
    /// New dead letters. One that is written already stays as it is.
    pub dead: Vec<Dead<'a>>,
    /// Letters that are `REPLAYING` and become `DEAD` again.
    pub returned: Vec<Dead<'a>>,
    /// Letters that are `REPLAYING` and become `REPLAYED` at this time.
    pub replayed: Vec<(DeadLetterId, Timestamp)>,
    /// Marks of effects up to these positions are deleted, except those of deliveries in the retry table.
    pub swept: Vec<(InstallationId, Seq)>,
    /// Installations that are new.
    pub installed: Vec<&'a Installation>,
    /// Installations that are changed, as they are from now on. Their keys and where they were installed never change.
    pub changed: Vec<&'a Installation>,
    /// Installations that are uninstalled and have nothing left to do.
    pub closed: Vec<InstallationId>,
    /// Spans that begin.
    pub opened: Vec<OpenedSpan<'a>>,
    /// Spans that end.
    pub closed_spans: Vec<ClosedSpan>,
    /// Spans that have no end any more.
    pub reopened_spans: Vec<Uuid>,
    /// Spans that are not current any more, because their subscription goes on with another one.
    pub succeeded_spans: Vec<Uuid>,
    /// Letters that an admin replays or discards.
    pub letters: Vec<(DeadLetterId, LetterStatus)>,
    /// Workspaces in which there is something to do from now on: their actors have to be started.
    pub due: BTreeSet<WorkspaceId>,
}

/// A row of `publish_idempotency_key`.
#[derive(Debug)]
pub struct UsedKey<'a> {
    pub workspace_id: WorkspaceId,
    pub key: &'a str,
    pub body_sha256: &'a [u8; 32],
    pub event_ids: Vec<EventId>,
    pub used_at: Timestamp,
}

/// A row of `ext_delivery_retry`.
#[derive(Debug)]
pub struct Parked<'a> {
    pub workspace_id: WorkspaceId,
    pub installation_id: InstallationId,
    pub retry: &'a ParkedRetry,
    /// The letter that is replayed. Kept where the delivery stands in the table already.
    pub dead_letter_id: Option<DeadLetterId>,
}

/// A row of `dead_letter_event`.
#[derive(Debug)]
pub struct Dead<'a> {
    pub workspace_id: WorkspaceId,
    pub installation_id: InstallationId,
    pub letter: &'a LetterCommand,
    pub given_up: &'a GivenUp,
}

/// A span with the id of its row. Ids grow with the time at which the row was inserted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSpan {
    pub id: Uuid,
    pub span: Span,
    /// It is the latest span of a subscription that was not ended. Changes of admins concern only these.
    pub is_current: bool,
    /// When the subscription was made.
    pub subscribed_at: Timestamp,
}

/// A span that ends. One that has an end keeps it: only its reason changes, so that enabling the installation does not
/// open the subscription again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosedSpan {
    pub id: Uuid,
    pub until: Seq,
    pub reason: SpanCloseReason,
}

impl ClosedSpan {
    /// Whether the subscription goes on when the installation is enabled again.
    pub fn stays_current(&self) -> bool {
        self.reason == SpanCloseReason::Disabled
    }
}

/// A row of `ext_event_subscription`.
#[derive(Debug)]
pub struct OpenedSpan<'a> {
    pub workspace_id: WorkspaceId,
    pub installation_id: InstallationId,
    pub span: &'a StoredSpan,
}

/// What an admin makes of a letter that is `DEAD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterStatus {
    Replaying,
    Discarded,
}

impl LetterStatus {
    /// As the column `status` has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replaying => "REPLAYING",
            Self::Discarded => "DISCARDED",
        }
    }
}

impl Changes<'_> {
    /// Whether there are only events and cursors, as in most batches.
    pub fn is_plain(&self) -> bool {
        self.keys.is_empty()
            && self.parked.is_empty()
            && self.removed.is_empty()
            && self.dead.is_empty()
            && self.returned.is_empty()
            && self.replayed.is_empty()
            && self.swept.is_empty()
            && self.installed.is_empty()
            && self.changed.is_empty()
            && self.closed.is_empty()
            && self.opened.is_empty()
            && self.closed_spans.is_empty()
            && self.reopened_spans.is_empty()
            && self.succeeded_spans.is_empty()
            && self.letters.is_empty()
            && self.due.is_empty()
    }
}

impl Batch {
    /// The rows that the batch changes. Its idempotency keys are used at `now`.
    pub fn changes(&self, now: Timestamp) -> Changes<'_> {
        let mut changes = Changes {
            events: self.events(),
            cursors: self.cursors(),
            due: self.due.clone(),
            ..Changes::default()
        };
        for staged in &self.appends {
            let append = &staged.append;
            changes
                .keys
                .extend(append.idempotency.as_ref().map(|key| UsedKey {
                    workspace_id: append.workspace_id,
                    key: &key.key,
                    body_sha256: &key.body_sha256,
                    event_ids: append.events.iter().map(|event| event.id).collect(),
                    used_at: now,
                }));
        }
        // A statement may touch a row only once. Where a delivery is parked twice in a batch, the last one counts.
        let mut parked: HashMap<(InstallationId, DeliveryKey), Parked<'_>> = HashMap::new();
        for command in &self.settlements {
            let (workspace_id, installation_id) = (command.workspace_id, command.installation_id);
            for retry in &command.park {
                let row = Parked {
                    workspace_id,
                    installation_id,
                    retry,
                    dead_letter_id: None,
                };
                parked.insert((installation_id, retry.key), row);
            }
            let ended = command.letters.iter().map(|letter| letter.change.key());
            let removed = command.remove.iter().copied().chain(ended);
            changes.removed.extend(removed.map(|key| (installation_id, key)));
            for letter in &command.letters {
                let given_up = match &letter.change {
                    LetterChange::GivenUp(given_up) => given_up,
                    LetterChange::Replayed { .. } => {
                        changes.replayed.push((letter.id, letter.at));
                        continue;
                    }
                };
                let rows = match given_up.dead_letter_id {
                    None => &mut changes.dead,
                    Some(_) => &mut changes.returned,
                };
                rows.push(Dead {
                    workspace_id,
                    installation_id,
                    letter,
                    given_up,
                });
            }
            if self.marked.contains(&installation_id) {
                changes.swept.push((installation_id, command.settled));
            }
        }
        changes.parked.extend(parked.into_values());
        changes
    }
}
