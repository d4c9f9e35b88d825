//! What admins and the router change in the tables beside batches. The SQL of the journal says the same.

use entity::{ext_event_subscription, ext_installation};

use super::{Installed, LetterStatus, Retry, Tables, replay};
use crate::journal::{
    ChangeError, InstallationView, Notice,
    seam::{Change, InstallationWork},
};
use pointsman_domain::{
    id::{DeadLetterId, InstallationId, SubscriptionId, WorkspaceId},
    installation::{InstallationChange, InstallationUpdate, NewInstallation},
    seq::Seq,
    span::SpanCloseReason,
    timestamp::Timestamp,
};
use pointsman_simulated_clock::Clock;

impl Tables {
    /// Makes the change, or says why not and leaves everything as it was.
    pub(in crate::simulation) fn change_installation(
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
        let row = ext_installation::Model {
            id: new.id.uuid(),
            workspace_id: workspace.uuid(),
            key: new.key.clone(),
            name: new.name.clone(),
            delivery_type: new.delivery_type.as_str().to_owned(),
            service_base_url: new.service_base_url.clone(),
            signing_secret: new.signing_secret.clone(),
            previous_secret: None,
            previous_secret_until: None,
            headers: new.headers.clone(),
            available: true,
            enabled: new.enabled,
            paused: false,
            concurrency: None,
            ordered: false,
            rate_limit: None,
            held_since: (!new.enabled).then_some(now.millis()),
            revision: 1,
            installed_at: now.millis(),
            installed_seq: head.get(),
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
    pub(in crate::simulation) fn change(&mut self, change: &Change) -> Result<Option<Notice>, ChangeError> {
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
                if self
                    .current()
                    .iter()
                    .any(|span| span.event_key == pattern.as_str())
                {
                    return Err(ChangeError::Conflict("subscribed already".to_owned()));
                }
                let closed = (!self.row.enabled).then_some(SpanCloseReason::Disabled);
                self.open(*subscription_id, pattern.as_str(), closed, head);
            }
            InstallationChange::Unsubscribe { subscription_id } => {
                let latest = self
                    .current()
                    .into_iter()
                    .find(|span| span.subscription_id == subscription_id.uuid())
                    .ok_or(ChangeError::NotFound("subscription"))?;
                self.close_where(|span| span.id == latest.id, SpanCloseReason::Unsubscribed, head);
            }
            InstallationChange::Uninstall => {
                self.close_where(is_open, SpanCloseReason::Uninstalled, head);
                self.row.uninstalled_at = Some(Clock.now().millis());
                self.row.uninstalled_seq = Some(head.get());
            }
        }
        self.row.revision += 1;
        Ok(())
    }

    fn update(&mut self, update: &InstallationUpdate, head: Seq) {
        match (self.row.enabled, update.enabled) {
            (true, Some(false)) => self.close_where(is_open, SpanCloseReason::Disabled, head),
            (false, Some(true)) => {
                for span in self.current() {
                    self.open(
                        SubscriptionId::new(span.subscription_id),
                        &span.event_key,
                        None,
                        head,
                    );
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
            row.held_since = is_held.then(|| Clock.now().millis());
        }
        if let Some(concurrency) = update.concurrency {
            row.concurrency = i32::try_from(concurrency).ok();
        }
        row.ordered = update.ordered.unwrap_or(row.ordered);
        if let Some(limit) = update.rate_limit {
            row.rate_limit = limit.and_then(|limit| i32::try_from(limit).ok());
        }
    }

    fn open(
        &mut self,
        subscription: SubscriptionId,
        pattern: &str,
        closed_by: Option<SpanCloseReason>,
        head: Seq,
    ) {
        self.spans.push(ext_event_subscription::Model {
            id: Clock.new_uuid(),
            subscription_id: subscription.uuid(),
            installation_id: self.row.id,
            workspace_id: self.row.workspace_id,
            event_key: pattern.to_owned(),
            from_seq: head.get(),
            until_seq: closed_by.map(|_| head.get()),
            closed_by: closed_by.map(|reason| reason.as_str().to_owned()),
            created_at: Clock.now().millis(),
        });
    }

    fn close_where(
        &mut self,
        which: impl Fn(&ext_event_subscription::Model) -> bool,
        reason: SpanCloseReason,
        head: Seq,
    ) {
        for span in self.spans.iter_mut().filter(|span| which(span)) {
            span.until_seq.get_or_insert(head.get());
            span.closed_by = Some(reason.as_str().to_owned());
        }
    }

    /// The latest span of each subscription that is open, or would be if the installation were enabled.
    fn current(&self) -> Vec<ext_event_subscription::Model> {
        let mut spans = self.spans.clone();
        spans.sort_by_key(|span| std::cmp::Reverse((span.from_seq, span.id)));
        let mut seen = std::collections::BTreeSet::new();
        spans.retain(|span| {
            let disabled = span.closed_by.as_deref() == Some(SpanCloseReason::Disabled.as_str());
            seen.insert(span.subscription_id) && (is_open(span) || disabled)
        });
        spans
    }
}

fn is_open(span: &ext_event_subscription::Model) -> bool {
    span.until_seq.is_none()
}
