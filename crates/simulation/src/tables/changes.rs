//! What admins and the router change in the tables beside batches. The journal decides; these are its rows.

use super::{Installed, Letter, LetterStatus, Retry, Tables};
use pointsman_domain::{
    handler_name::HandlerName,
    id::{DeadLetterId, InstallationId, WorkspaceId},
    installation::InstallationView,
    span::Span,
    timestamp::Timestamp,
};
use pointsman_journal::{
    ChangeError, Notice,
    admin::{
        installation::{self, ChangePoint, SpansNeeded},
        letter::{self, StoredLetter},
    },
    change::{Change, InstallationWork},
    changes::StoredSpan,
};
use pointsman_simulated_clock::Clock;

impl Tables {
    /// Makes the change, or says why not and leaves everything as it was.
    pub(crate) fn change_installation(
        &mut self,
        workspace: WorkspaceId,
        work: &InstallationWork,
    ) -> Result<InstallationView, ChangeError> {
        let at = ChangePoint {
            head: self.head(workspace),
            now: Clock.now(),
        };
        let mut new_id = || Clock.new_uuid();
        let id = match work {
            InstallationWork::Install(new) => {
                let taken = self.installations.values().any(|installed| {
                    installed.workspace() == workspace
                        && installed.row.key == new.key
                        && installed.row.uninstalled_at.is_none()
                });
                if taken {
                    return Err(ChangeError::Conflict("the key is installed already".to_owned()));
                }
                let changes = installation::install(workspace, new.clone(), at, &mut new_id)?;
                self.mark_due(changes.changes().due);
                let mut spans = Vec::new();
                changes.apply_to(&mut spans);
                let installed = Installed {
                    spans,
                    row: changes.installation,
                    cursor: at.head,
                    generation: 0,
                };
                self.installations.insert(new.id, installed);
                new.id
            }
            InstallationWork::Change(id, change) => {
                let installed = self
                    .installations
                    .get_mut(id)
                    .filter(|installed| installed.workspace() == workspace)
                    .filter(|installed| installed.row.uninstalled_at.is_none())
                    .ok_or(ChangeError::NotFound("extension"))?;
                let row = installed.row.clone();
                let spans = installed.spans_for(SpansNeeded::by(change, &row));
                let changes = installation::change(row, &spans, change.clone(), at, &mut new_id)?;
                changes.apply_to(&mut installed.spans);
                let due = changes.changes().due;
                installed.row = changes.installation;
                self.mark_due(due);
                *id
            }
        };
        let installed = self
            .installations
            .get(&id)
            .ok_or(ChangeError::NotFound("extension"))?;
        Ok(self.view(installed))
    }

    /// Makes the change, or says why not and leaves everything as it was.
    pub(crate) fn change(&mut self, change: &Change) -> Result<Option<Notice>, ChangeError> {
        match change {
            Change::StartReplay {
                workspace,
                letter,
                to,
                now,
            } => self.start_replay(*workspace, *letter, *to, *now).map(Some),
            Change::Discard { workspace, letter } => {
                letter::discard(&self.stored_letter(*workspace, *letter)?)?;
                self.set_status(*letter, LetterStatus::Discarded);
                Ok(None)
            }
            Change::DeleteWorkspace { .. } => Err(ChangeError::NotFound("workspace")),
            Change::Erase { .. } | Change::EndErasure { .. } => Err(ChangeError::NotFound("event")),
            Change::Close { installation } => {
                if let Some(installed) = self.installations.get_mut(installation) {
                    installed.row.closed = true;
                }
                Ok(None)
            }
        }
    }

    fn stored_letter(&self, workspace: WorkspaceId, id: DeadLetterId) -> Result<StoredLetter, ChangeError> {
        self.letters
            .get(&id)
            .filter(|letter| letter.workspace == workspace)
            .map(Letter::stored)
            .ok_or(ChangeError::NotFound("dead letter"))
    }

    fn set_status(&mut self, id: DeadLetterId, status: LetterStatus) {
        if let Some(letter) = self.letters.get_mut(&id) {
            letter.status = status;
        }
    }

    fn start_replay(
        &mut self,
        workspace: WorkspaceId,
        id: DeadLetterId,
        to: Option<InstallationId>,
        now: Timestamp,
    ) -> Result<Notice, ChangeError> {
        let letter = self.stored_letter(workspace, id)?;
        letter.check_dead()?;
        let target = to.unwrap_or(letter.installation_id);
        let installed = self
            .installations
            .get(&target)
            .filter(|installed| installed.workspace() == workspace)
            .ok_or(ChangeError::NotFound("extension"))?;
        let key = (target, letter.replay_key());
        let is_replayed = self.retries.contains_key(&key);
        let changes = letter::start_replay(&letter, &installed.row, is_replayed, now)?;
        let due = changes.changes().due;
        if let Some(replay) = changes.replay() {
            let row = Retry {
                seq: replay.seq,
                attempts: replay.attempts,
                next_attempt_at: replay.next_attempt_at,
                last_error: replay.last_error.clone(),
                last_status: replay.last_status,
                dead_letter_id: Some(id),
            };
            self.retries.insert(key, row);
        }
        self.set_status(id, LetterStatus::Replaying);
        self.mark_due(due);
        Ok(Notice::RetriesAdded {
            workspace_id: workspace,
            installation_id: target,
            at: now,
        })
    }
}

impl Letter {
    fn stored(&self) -> StoredLetter {
        let status = match self.status {
            LetterStatus::Dead => "DEAD",
            LetterStatus::Replaying => "REPLAYING",
            LetterStatus::Replayed => "REPLAYED",
            LetterStatus::Discarded => "DISCARDED",
        };
        StoredLetter {
            is_erased: false,
            id: self.id,
            workspace_id: self.workspace,
            installation_id: self.installation,
            extension_key: self.extension_key.clone(),
            event_id: self.event.id,
            handler: HandlerName::WHOLE,
            seq: self.event.seq,
            reason: Some(self.reason),
            attempts: self.attempts,
            last_status: self.last_status,
            last_error: self.last_error.clone(),
            status: status.to_owned(),
        }
    }
}

impl Installed {
    fn spans_for(&self, needed: SpansNeeded<'_>) -> Vec<StoredSpan> {
        let is_needed = |span: &Span| match needed {
            SpansNeeded::Nothing => false,
            SpansNeeded::Current => true,
            SpansNeeded::OfPattern(pattern) => span.pattern == *pattern,
            SpansNeeded::OfSubscription(id) => span.subscription_id == id,
        };
        self.spans
            .iter()
            .filter(|stored| stored.is_current && is_needed(&stored.span))
            .cloned()
            .collect()
    }
}
