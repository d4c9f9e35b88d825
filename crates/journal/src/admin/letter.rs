//! Replaying and discarding a dead letter.

use pointsman_domain::{
    attempt::{DeadLetterReason, DeliveryKind},
    handler_name::HandlerName,
    id::{DeadLetterId, EventId, InstallationId, WorkspaceId},
    installation::Installation,
    lane::{DeliveryKey, ParkedRetry},
    seq::Seq,
    timestamp::Timestamp,
};

use crate::{
    changes::{Changes, LetterStatus, Parked},
    errors::ChangeError,
};

/// A letter as it is stored, as far as these changes need it.
#[derive(Clone, Debug)]
pub struct StoredLetter {
    pub id: DeadLetterId,
    pub workspace_id: WorkspaceId,
    /// Whose delivery has failed.
    pub installation_id: InstallationId,
    pub extension_key: String,
    pub event_id: EventId,
    pub handler: HandlerName,
    pub seq: Seq,
    pub reason: Option<DeadLetterReason>,
    pub attempts: u32,
    pub last_status: Option<u16>,
    pub last_error: Option<String>,
    /// `DEAD`, `REPLAYING`, `REPLAYED` or `DISCARDED`.
    pub status: String,
    /// The payload of its event was erased.
    pub is_erased: bool,
}

/// What the transaction changes of a letter.
#[derive(Clone, Debug)]
pub struct LetterChanges {
    letter: DeadLetterId,
    status: LetterStatus,
    /// The delivery that a replay starts, and to which installation of which workspace.
    replay: Option<(WorkspaceId, InstallationId, ParkedRetry)>,
}

impl LetterChanges {
    /// The rows that are written.
    pub fn changes(&self) -> Changes<'_> {
        let replay = self.replay.iter();
        let parked = replay.map(|(workspace_id, installation_id, retry)| Parked {
            workspace_id: *workspace_id,
            installation_id: *installation_id,
            retry,
            dead_letter_id: Some(self.letter),
        });
        Changes {
            parked: parked.collect(),
            letters: vec![(self.letter, self.status)],
            due: self
                .replay
                .iter()
                .map(|(workspace_id, ..)| *workspace_id)
                .collect(),
            ..Changes::default()
        }
    }

    /// The row of the retry table that a replay starts with.
    pub fn replay(&self) -> Option<&ParkedRetry> {
        self.replay.as_ref().map(|(_, _, retry)| retry)
    }
}

impl StoredLetter {
    /// Names the delivery that a replay makes.
    pub const fn replay_key(&self) -> DeliveryKey {
        DeliveryKey {
            kind: DeliveryKind::Replay,
            event_id: self.event_id,
            handler: self.handler,
        }
    }

    /// Whether it may be replayed or discarded at all.
    ///
    /// # Errors
    /// [`ChangeError::Conflict`] where it is not `DEAD`.
    pub fn check_dead(&self) -> Result<(), ChangeError> {
        if self.status == "DEAD" {
            return Ok(());
        }
        Err(ChangeError::Conflict(format!(
            "the dead letter is {}",
            self.status
        )))
    }

    /// Why it cannot be replayed to this installation, if it cannot.
    fn refusal(&self, target: &Installation) -> Option<&'static str> {
        if self.is_erased {
            Some("the payload of the event was erased: there is nothing left that could be delivered")
        } else if self.reason == Some(DeadLetterReason::Corrupt) {
            Some("the event is corrupt: there is nothing left that could be delivered")
        } else if target.key != self.extension_key {
            Some("the letter belongs to another extension")
        } else if target.uninstalled_at.is_some() {
            Some("the extension is uninstalled")
        } else if !target.enabled {
            Some("the extension is disabled")
        } else {
            None
        }
    }
}

/// Marks the letter `DISCARDED`; its event is not delivered.
///
/// # Errors
/// [`ChangeError::Conflict`] where it is not `DEAD`.
pub fn discard(letter: &StoredLetter) -> Result<LetterChanges, ChangeError> {
    letter.check_dead()?;
    Ok(LetterChanges {
        letter: letter.id,
        status: LetterStatus::Discarded,
        replay: None,
    })
}

/// Marks the letter `REPLAYING`, and has its copy of the event delivered to `target` from `now` on. `is_replayed`: the
/// retry table has [`StoredLetter::replay_key`] for that installation already.
///
/// # Errors
/// [`ChangeError::Conflict`] where the letter is not `DEAD` or cannot be delivered to that installation.
pub fn start_replay(
    letter: &StoredLetter,
    target: &Installation,
    is_replayed: bool,
    now: Timestamp,
) -> Result<LetterChanges, ChangeError> {
    letter.check_dead()?;
    let refusal = letter
        .refusal(target)
        .or_else(|| is_replayed.then_some("the event is being replayed to this extension already"));
    if let Some(refusal) = refusal {
        return Err(ChangeError::Conflict(refusal.to_owned()));
    }
    let retry = ParkedRetry {
        key: letter.replay_key(),
        seq: letter.seq,
        attempts: letter.attempts,
        next_attempt_at: now,
        last_error: letter.last_error.clone(),
        last_status: letter.last_status,
    };
    Ok(LetterChanges {
        letter: letter.id,
        status: LetterStatus::Replaying,
        replay: Some((letter.workspace_id, target.id, retry)),
    })
}
