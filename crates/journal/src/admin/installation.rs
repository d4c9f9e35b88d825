//! Installing an extension, and changing an installation with its subscriptions.

use std::time::Duration;

use pointsman_domain::{
    event_pattern::EventPattern,
    id::{SubscriptionId, WorkspaceId},
    installation::{Installation, InstallationChange, InstallationUpdate, NewInstallation, PreviousSecret},
    seq::Seq,
    span::{Span, SpanCloseReason},
    timestamp::Timestamp,
};
use uuid::Uuid;

use crate::{
    batch::Cursor,
    changes::{Changes, ClosedSpan, OpenedSpan, StoredSpan},
    errors::ChangeError,
};

/// How long a rotated secret goes on signing beside the new one.
const PREVIOUS_SECRET: Duration = Duration::from_secs(24 * 60 * 60);

/// What the transaction changes of an installation.
#[derive(Clone, Debug)]
pub struct InstallationChanges {
    /// As it is to be from now on.
    pub installation: Installation,
    /// Of an installation that is new.
    cursor: Option<Cursor>,
    opened: Vec<StoredSpan>,
    closed: Vec<ClosedSpan>,
    reopened: Vec<Uuid>,
    succeeded: Vec<Uuid>,
    at: ChangePoint,
}

/// The spans that [`change`] has to be given. They are all current, so that their number does not depend on what admins
/// have done before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpansNeeded<'a> {
    Nothing,
    /// Every current span of the installation.
    Current,
    /// The current span of a subscription of the installation to this very pattern.
    OfPattern(&'a EventPattern),
    /// The current span of this subscription of the installation.
    OfSubscription(SubscriptionId),
}

impl<'a> SpansNeeded<'a> {
    /// What this change of the installation needs.
    pub fn by(change: &'a InstallationChange, installation: &Installation) -> Self {
        match change {
            InstallationChange::Update(update)
                if update
                    .enabled
                    .is_none_or(|enabled| enabled == installation.enabled) =>
            {
                Self::Nothing
            }
            InstallationChange::RotateSecret { .. } => Self::Nothing,
            InstallationChange::Update(_) | InstallationChange::Uninstall => Self::Current,
            InstallationChange::Subscribe { pattern, .. } => Self::OfPattern(pattern),
            InstallationChange::Unsubscribe { subscription_id } => Self::OfSubscription(*subscription_id),
        }
    }
}

/// When and where in the log a change takes place.
#[derive(Clone, Copy, Debug)]
pub struct ChangePoint {
    /// The head of the workspace's log.
    pub head: Seq,
    pub now: Timestamp,
}

impl InstallationChanges {
    /// The rows that are written.
    pub fn changes(&self) -> Changes<'_> {
        let opened = self.opened.iter().map(|span| OpenedSpan {
            workspace_id: self.installation.workspace_id,
            installation_id: self.installation.id,
            span,
        });
        Changes {
            installed: self.cursor.iter().map(|_| &self.installation).collect(),
            changed: if self.cursor.is_none() {
                vec![&self.installation]
            } else {
                Vec::new()
            },
            cursors: self.cursor.iter().cloned().collect(),
            opened: opened.collect(),
            closed_spans: self.closed.clone(),
            reopened_spans: self.reopened.clone(),
            succeeded_spans: self.succeeded.clone(),
            due: [self.installation.workspace_id].into(),
            ..Changes::default()
        }
    }

    /// Makes the changes of the installation's spans to `spans`, which may be all or only the current ones.
    pub fn apply_to(&self, spans: &mut Vec<StoredSpan>) {
        for stored in spans.iter_mut() {
            for closed in self.closed.iter().filter(|closed| closed.id == stored.id) {
                stored.span.until_seq.get_or_insert(closed.until);
                stored.span.closed_by = Some(closed.reason);
                stored.is_current = closed.stays_current();
            }
            if self.reopened.contains(&stored.id) {
                (stored.span.until_seq, stored.span.closed_by) = (None, None);
            }
            if self.succeeded.contains(&stored.id) {
                stored.is_current = false;
            }
        }
        spans.extend_from_slice(&self.opened);
    }

    fn of(installation: Installation, at: ChangePoint) -> Self {
        Self {
            installation,
            cursor: None,
            opened: Vec::new(),
            closed: Vec::new(),
            reopened: Vec::new(),
            succeeded: Vec::new(),
            at,
        }
    }

    /// Opens the first span of a subscription of an installation that is new.
    fn subscribe(
        &mut self,
        id: Uuid,
        subscription_id: SubscriptionId,
        pattern: EventPattern,
    ) -> Result<(), ChangeError> {
        if has_pattern(&self.opened, &pattern) {
            return Err(subscribed_already(&pattern));
        }
        self.open(id, subscription_id, pattern, self.at.now);
        Ok(())
    }

    /// While the installation is disabled the span is empty, and enabling opens it again or opens the next one.
    fn open(
        &mut self,
        id: Uuid,
        subscription_id: SubscriptionId,
        pattern: EventPattern,
        subscribed_at: Timestamp,
    ) {
        let closed_by = (!self.installation.enabled).then_some(SpanCloseReason::Disabled);
        let span = Span {
            subscription_id,
            pattern,
            from_seq: self.at.head,
            until_seq: closed_by.map(|_| self.at.head),
            closed_by,
        };
        self.opened.push(StoredSpan {
            id,
            span,
            is_current: true,
            subscribed_at,
        });
    }

    /// Goes on with a subscription whose installation is enabled. Where no event was published since its span ended,
    /// the span is opened again: one that goes on from there would cover the same events.
    fn go_on(&mut self, stored: &StoredSpan, new_id: &mut dyn FnMut() -> Uuid) {
        match stored.span.until_seq {
            None => {}
            Some(until) if until >= self.at.head => self.reopened.push(stored.id),
            Some(_) => {
                self.succeeded.push(stored.id);
                let Span {
                    subscription_id,
                    ref pattern,
                    ..
                } = stored.span;
                self.open(new_id(), subscription_id, pattern.clone(), stored.subscribed_at);
            }
        }
    }

    fn close(&mut self, span: &StoredSpan, reason: SpanCloseReason) {
        self.closed.push(ClosedSpan {
            id: span.id,
            until: self.at.head,
            reason,
        });
    }

    fn close_open(&mut self, spans: &[StoredSpan], reason: SpanCloseReason) {
        for span in spans.iter().filter(|span| span.span.until_seq.is_none()) {
            self.close(span, reason);
        }
    }

    fn update(&mut self, update: InstallationUpdate, spans: &[StoredSpan], new_id: &mut dyn FnMut() -> Uuid) {
        let (was_enabled, was_held) = (self.installation.enabled, self.installation.is_held());
        let installation = &mut self.installation;
        installation.enabled = update.enabled.unwrap_or(installation.enabled);
        installation.paused = update.paused.unwrap_or(installation.paused);
        if installation.is_held() != was_held {
            installation.held_since = (!was_held).then_some(self.at.now);
        }
        if let Some(name) = update.name {
            installation.name = name;
        }
        if let Some(url) = update.service_base_url {
            installation.service_base_url = Some(url);
        }
        if let Some(headers) = update.headers {
            installation.headers = headers;
        }
        if let Some(concurrency) = update.concurrency {
            installation.concurrency = Some(concurrency);
        }
        if let Some(ordered) = update.ordered {
            installation.ordered = ordered;
        }
        if let Some(rate_limit) = update.rate_limit {
            installation.rate_limit = rate_limit;
        }
        match (was_enabled, self.installation.enabled) {
            (true, false) => self.close_open(spans, SpanCloseReason::Disabled),
            (false, true) => {
                for stored in spans {
                    self.go_on(stored, new_id);
                }
            }
            _ => {}
        }
    }
}

/// Installs the extension. Its cursor stands at the head: what was published before is not due to it.
///
/// # Errors
/// [`ChangeError::Conflict`] where it subscribes to a pattern twice.
pub fn install(
    workspace: WorkspaceId,
    new: NewInstallation,
    at: ChangePoint,
    new_id: &mut dyn FnMut() -> Uuid,
) -> Result<InstallationChanges, ChangeError> {
    let installation = Installation {
        id: new.id,
        workspace_id: workspace,
        key: new.key,
        name: new.name,
        delivery_type: new.delivery_type,
        service_base_url: new.service_base_url,
        signing_secret: new.signing_secret,
        previous_secret: None,
        headers: new.headers,
        enabled: new.enabled,
        paused: false,
        concurrency: None,
        ordered: false,
        rate_limit: None,
        available: true,
        held_since: (!new.enabled).then_some(at.now),
        revision: 1,
        installed_at: at.now,
        installed_seq: at.head,
        uninstalled_at: None,
        uninstalled_seq: None,
        closed: false,
    };
    let mut changes = InstallationChanges::of(installation, at);
    changes.cursor = Some(Cursor {
        installation_id: new.id,
        workspace_id: workspace,
        settled: at.head,
        generation: 0,
        last_success_at: None,
        last_failure_at: None,
    });
    for (subscription, pattern) in new.subscriptions {
        changes.subscribe(new_id(), subscription, pattern)?;
    }
    Ok(changes)
}

/// Changes an installation that is not uninstalled. `spans` are those that [`SpansNeeded::by`] the change names.
///
/// # Errors
/// [`ChangeError::Conflict`] where it is subscribed to the pattern already, [`ChangeError::NotFound`] where it has no
/// such subscription.
pub fn change(
    installation: Installation,
    spans: &[StoredSpan],
    change: InstallationChange,
    at: ChangePoint,
    new_id: &mut dyn FnMut() -> Uuid,
) -> Result<InstallationChanges, ChangeError> {
    let mut changes = InstallationChanges::of(installation, at);
    match change {
        InstallationChange::Update(update) => changes.update(update, spans, new_id),
        InstallationChange::RotateSecret { sealed } => {
            let installation = &mut changes.installation;
            installation.previous_secret = Some(PreviousSecret {
                sealed: std::mem::replace(&mut installation.signing_secret, sealed),
                until: at.now + PREVIOUS_SECRET,
            });
        }
        InstallationChange::Subscribe {
            subscription_id,
            pattern,
        } => {
            if has_pattern(spans, &pattern) {
                return Err(subscribed_already(&pattern));
            }
            changes.open(new_id(), subscription_id, pattern, at.now);
        }
        InstallationChange::Unsubscribe { subscription_id } => {
            let current = spans
                .iter()
                .find(|stored| stored.span.subscription_id == subscription_id)
                .ok_or(ChangeError::NotFound("subscription"))?;
            changes.close(current, SpanCloseReason::Unsubscribed);
        }
        InstallationChange::Uninstall => {
            changes.close_open(spans, SpanCloseReason::Uninstalled);
            changes.installation.uninstalled_at = Some(at.now);
            changes.installation.uninstalled_seq = Some(at.head);
        }
    }
    changes.installation.revision += 1;
    Ok(changes)
}

/// Subscribes an installation that has no span of the pattern, without a new revision: at a start nobody has a copy of
/// it yet.
pub fn subscribe_at_start(
    installation: Installation,
    (subscription_id, pattern): (SubscriptionId, EventPattern),
    at: ChangePoint,
    id: Uuid,
) -> InstallationChanges {
    let mut changes = InstallationChanges::of(installation, at);
    changes.open(id, subscription_id, pattern, at.now);
    changes
}

fn has_pattern(spans: &[StoredSpan], pattern: &EventPattern) -> bool {
    spans
        .iter()
        .any(|stored| stored.span.pattern.as_str() == pattern.as_str())
}

fn subscribed_already(pattern: &EventPattern) -> ChangeError {
    ChangeError::Conflict(format!(
        "the extension is subscribed to {} already",
        pattern.as_str()
    ))
}

#[cfg(test)]
mod tests;
