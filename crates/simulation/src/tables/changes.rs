//! The changes of admins and of the router, outside of batches. The SQL of the journal does the same.

use super::{Installed, LetterStatus, Retry, Tables, replay};
use pointsman_domain::{
    event_pattern::EventPattern,
    id::{DeadLetterId, InstallationId, SubscriptionId, WorkspaceId},
    installation::{Installation, InstallationChange, InstallationUpdate, InstallationView, NewInstallation},
    seq::Seq,
    span::{Span, SpanCloseReason},
    timestamp::Timestamp,
};
use pointsman_journal::{
    ChangeError, Notice,
    change::{Change, InstallationWork},
};
use pointsman_simulated_clock::Clock;

impl Tables {
    /// Makes the change, or says why not and leaves everything as it was.
    pub(crate) fn change_installation(
        &mut self,
        workspace: WorkspaceId,
        work: &InstallationWork,
    ) -> Result<InstallationView, ChangeError> {
        let id = match work {
            InstallationWork::Install(new) => self.install(workspace, new)?,
            InstallationWork::Change(id, change) => {
                let head = self.head(workspace);
                let installed = self
                    .installations
                    .get_mut(id)
                    .filter(|installed| installed.workspace() == workspace)
                    .filter(|installed| installed.row.uninstalled_at.is_none())
                    .ok_or(ChangeError::NotFound("extension"))?;
                installed.change(change, head)?;
                *id
            }
        };
        let installed = self
            .installations
            .get(&id)
            .ok_or(ChangeError::NotFound("extension"))?;
        Ok(self.view(installed))
    }

    fn install(
        &mut self,
        workspace: WorkspaceId,
        new: &NewInstallation,
    ) -> Result<InstallationId, ChangeError> {
        let taken = self.installations.values().any(|installed| {
            installed.workspace() == workspace
                && installed.row.key == new.key
                && installed.row.uninstalled_at.is_none()
        });
        if taken {
            return Err(ChangeError::Conflict("the key is installed already".to_owned()));
        }
        let (head, now) = (self.head(workspace), Clock.now());
        let row = Installation {
            id: new.id,
            workspace_id: workspace,
            key: new.key.clone(),
            name: new.name.clone(),
            delivery_type: new.delivery_type,
            service_base_url: new.service_base_url.clone(),
            signing_secret: new.signing_secret.clone(),
            previous_secret: None,
            headers: new.headers.clone(),
            available: true,
            enabled: new.enabled,
            paused: false,
            concurrency: None,
            ordered: false,
            rate_limit: None,
            held_since: (!new.enabled).then_some(now),
            revision: 1,
            installed_at: now,
            installed_seq: head,
            uninstalled_at: None,
            uninstalled_seq: None,
            closed: false,
        };
        let installed = Installed {
            row,
            spans: Vec::new(),
            cursor: head,
            generation: 0,
        };
        self.installations.insert(new.id, installed);
        Ok(new.id)
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
                self.find_dead(*workspace, *letter)?;
                self.set_status(*letter, LetterStatus::Discarded);
                Ok(None)
            }
            Change::Close { installation } => {
                if let Some(installed) = self.installations.get_mut(installation) {
                    installed.row.closed = true;
                }
                Ok(None)
            }
        }
    }

    fn find_dead(&self, workspace: WorkspaceId, id: DeadLetterId) -> Result<super::Letter, ChangeError> {
        let letter = self
            .letters
            .get(&id)
            .filter(|letter| letter.workspace == workspace)
            .ok_or(ChangeError::NotFound("dead letter"))?;
        if letter.status != LetterStatus::Dead {
            return Err(ChangeError::Conflict("the dead letter is not DEAD".to_owned()));
        }
        Ok(letter.clone())
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
        let letter = self.find_dead(workspace, id)?;
        let target = to.unwrap_or(letter.installation);
        let installed = self
            .installations
            .get(&target)
            .filter(|installed| installed.workspace() == workspace)
            .ok_or(ChangeError::NotFound("extension"))?;
        let key = (target, replay(letter.event.id));
        if installed.row.key != letter.extension_key
            || installed.row.uninstalled_at.is_some()
            || !installed.row.enabled
            || self.retries.contains_key(&key)
        {
            return Err(ChangeError::Conflict("it cannot be replayed".to_owned()));
        }
        let row = Retry {
            seq: letter.event.seq,
            attempts: letter.attempts,
            next_attempt_at: now,
            last_error: letter.last_error,
            last_status: letter.last_status,
            dead_letter_id: Some(id),
        };
        self.retries.insert(key, row);
        self.set_status(id, LetterStatus::Replaying);
        Ok(Notice::RetriesAdded {
            workspace_id: workspace,
            installation_id: target,
            at: now,
        })
    }
}

impl Installed {
    fn change(&mut self, change: &InstallationChange, head: Seq) -> Result<(), ChangeError> {
        match change {
            InstallationChange::Update(update) => self.update(update, head),
            InstallationChange::RotateSecret { .. } => {}
            InstallationChange::Subscribe {
                subscription_id,
                pattern,
            } => {
                if self.current().iter().any(|(_, span)| span.pattern == *pattern) {
                    return Err(ChangeError::Conflict("subscribed already".to_owned()));
                }
                let closed = (!self.row.enabled).then_some(SpanCloseReason::Disabled);
                self.open(*subscription_id, pattern.clone(), closed, head);
            }
            InstallationChange::Unsubscribe { subscription_id } => {
                let (latest, _) = self
                    .current()
                    .into_iter()
                    .find(|(_, span)| span.subscription_id == *subscription_id)
                    .ok_or(ChangeError::NotFound("subscription"))?;
                close(&mut self.spans[latest], SpanCloseReason::Unsubscribed, head);
            }
            InstallationChange::Uninstall => {
                self.close_open(SpanCloseReason::Uninstalled, head);
                self.row.uninstalled_at = Some(Clock.now());
                self.row.uninstalled_seq = Some(head);
            }
        }
        self.row.revision += 1;
        Ok(())
    }

    fn update(&mut self, update: &InstallationUpdate, head: Seq) {
        match (self.row.enabled, update.enabled) {
            (true, Some(false)) => self.close_open(SpanCloseReason::Disabled, head),
            (false, Some(true)) => {
                for (_, span) in self.current() {
                    self.open(span.subscription_id, span.pattern, None, head);
                }
            }
            _ => {}
        }
        let row = &mut self.row;
        let was_held = row.paused || !row.enabled;
        row.enabled = update.enabled.unwrap_or(row.enabled);
        row.paused = update.paused.unwrap_or(row.paused);
        let is_held = row.paused || !row.enabled;
        if is_held != was_held {
            row.held_since = is_held.then(|| Clock.now());
        }
        if let Some(concurrency) = update.concurrency {
            row.concurrency = Some(concurrency);
        }
        row.ordered = update.ordered.unwrap_or(row.ordered);
        if let Some(limit) = update.rate_limit {
            row.rate_limit = limit;
        }
    }

    fn open(
        &mut self,
        subscription_id: SubscriptionId,
        pattern: EventPattern,
        closed_by: Option<SpanCloseReason>,
        head: Seq,
    ) {
        self.spans.push(Span {
            subscription_id,
            pattern,
            from_seq: head,
            until_seq: closed_by.map(|_| head),
            closed_by,
        });
    }

    fn close_open(&mut self, reason: SpanCloseReason, head: Seq) {
        for span in self.spans.iter_mut().filter(|span| span.until_seq.is_none()) {
            close(span, reason, head);
        }
    }

    /// The latest span of each subscription that is open, or would be if the installation were enabled; and where it
    /// is kept.
    fn current(&self) -> Vec<(usize, Span)> {
        let mut spans: Vec<_> = self.spans.iter().cloned().enumerate().collect();
        spans.sort_by_key(|(index, span)| std::cmp::Reverse((span.from_seq, *index)));
        let mut seen = std::collections::BTreeSet::new();
        spans.retain(|(_, span)| {
            let is_disabled = span.closed_by == Some(SpanCloseReason::Disabled);
            seen.insert(span.subscription_id) && (span.until_seq.is_none() || is_disabled)
        });
        spans
    }
}

fn close(span: &mut Span, reason: SpanCloseReason, head: Seq) {
    span.until_seq.get_or_insert(head);
    span.closed_by = Some(reason);
}
