//! Installing an extension, and changing an installation with its subscriptions.

use std::{collections::BTreeSet, time::Duration};

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
    at: ChangePoint,
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
            created_at: self.at.now,
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
            ..Changes::default()
        }
    }

    /// The spans that are opened.
    pub fn opened(&self) -> &[StoredSpan] {
        &self.opened
    }

    /// The spans that are closed.
    pub fn closed(&self) -> &[ClosedSpan] {
        &self.closed
    }

    fn of(installation: Installation, at: ChangePoint) -> Self {
        Self {
            installation,
            cursor: None,
            opened: Vec::new(),
            closed: Vec::new(),
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
        if has_pattern(self.opened.iter(), &pattern) {
            return Err(subscribed_already(&pattern));
        }
        self.open(id, subscription_id, pattern);
        Ok(())
    }

    /// While the installation is disabled the span is empty, and enabling opens the next one.
    fn open(&mut self, id: Uuid, subscription_id: SubscriptionId, pattern: EventPattern) {
        let closed_by = (!self.installation.enabled).then_some(SpanCloseReason::Disabled);
        let span = Span {
            subscription_id,
            pattern,
            from_seq: self.at.head,
            until_seq: closed_by.map(|_| self.at.head),
            closed_by,
        };
        self.opened.push(StoredSpan { id, span });
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
                for stored in current(spans) {
                    let span = &stored.span;
                    self.open(new_id(), span.subscription_id, span.pattern.clone());
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

/// Changes an installation that is not uninstalled. `spans` are all of its spans.
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
            if has_pattern(current(spans), &pattern) {
                return Err(subscribed_already(&pattern));
            }
            changes.open(new_id(), subscription_id, pattern);
        }
        InstallationChange::Unsubscribe { subscription_id } => {
            let latest = current(spans)
                .find(|stored| stored.span.subscription_id == subscription_id)
                .ok_or(ChangeError::NotFound("subscription"))?;
            changes.close(latest, SpanCloseReason::Unsubscribed);
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
    changes.open(id, subscription_id, pattern);
    changes
}

fn has_pattern<'a>(mut spans: impl Iterator<Item = &'a StoredSpan>, pattern: &EventPattern) -> bool {
    spans.any(|stored| stored.span.pattern.as_str() == pattern.as_str())
}

fn subscribed_already(pattern: &EventPattern) -> ChangeError {
    ChangeError::Conflict(format!(
        "the extension is subscribed to {} already",
        pattern.as_str()
    ))
}

/// The latest span of each subscription that is open, or would be if the installation were enabled.
fn current(spans: &[StoredSpan]) -> impl Iterator<Item = &StoredSpan> {
    let mut latest: Vec<&StoredSpan> = spans.iter().collect();
    latest.sort_by_key(|stored| std::cmp::Reverse((stored.span.from_seq, stored.id)));
    let mut seen = BTreeSet::new();
    latest.into_iter().filter(move |stored| {
        let span = &stored.span;
        let is_current = span.until_seq.is_none() || span.closed_by == Some(SpanCloseReason::Disabled);
        seen.insert(span.subscription_id) && is_current
    })
}

#[cfg(test)]
mod tests {
    use pointsman_domain::{id::InstallationId, installation::DeliveryType};

    use super::*;

    fn at(head: i64) -> ChangePoint {
        ChangePoint {
            head: Seq::new(head),
            now: Timestamp::from_millis(head * 1000),
        }
    }

    fn subscription(number: u128) -> SubscriptionId {
        SubscriptionId::new(Uuid::from_u128(number))
    }

    /// An installation with all of its spans, as the tables would hold them.
    struct Installed {
        installation: Installation,
        spans: Vec<StoredSpan>,
        ids: u128,
    }

    impl Installed {
        fn new(enabled: bool) -> Self {
            let new = NewInstallation {
                id: InstallationId::new(Uuid::from_u128(1)),
                key: "crm".to_owned(),
                name: "CRM".to_owned(),
                delivery_type: DeliveryType::ExternalService,
                service_base_url: None,
                signing_secret: "first".to_owned(),
                headers: String::new(),
                enabled,
                subscriptions: vec![(subscription(1), EventPattern::parse("a.*").unwrap())],
            };
            let installed = install(WorkspaceId::new(Uuid::nil()), new, at(5), &mut || {
                Uuid::from_u128(1)
            })
            .unwrap();
            Self {
                installation: installed.installation.clone(),
                spans: installed.opened,
                ids: 1,
            }
        }

        fn change(&mut self, asked: InstallationChange, head: i64) -> Result<(), ChangeError> {
            let mut ids = self.ids;
            let changes = change(
                self.installation.clone(),
                &self.spans,
                asked,
                at(head),
                &mut || {
                    ids += 1;
                    Uuid::from_u128(ids)
                },
            )?;
            self.ids = ids;
            for closed in changes.closed() {
                let stored = self
                    .spans
                    .iter_mut()
                    .find(|stored| stored.id == closed.id)
                    .unwrap();
                stored.span.until_seq.get_or_insert(closed.until);
                stored.span.closed_by = Some(closed.reason);
            }
            self.spans.extend_from_slice(changes.opened());
            self.installation = changes.installation;
            Ok(())
        }

        fn enable(&mut self, enabled: bool, head: i64) {
            let update = InstallationUpdate {
                enabled: Some(enabled),
                ..InstallationUpdate::default()
            };
            self.change(InstallationChange::Update(update), head).unwrap();
        }

        /// From where to where each span goes.
        fn stretches(&self) -> Vec<(i64, Option<i64>)> {
            let stretch =
                |stored: &StoredSpan| (stored.span.from_seq.get(), stored.span.until_seq.map(Seq::get));
            self.spans.iter().map(stretch).collect()
        }
    }

    fn subscribe(number: u128, pattern: &str) -> InstallationChange {
        InstallationChange::Subscribe {
            subscription_id: subscription(number),
            pattern: EventPattern::parse(pattern).unwrap(),
        }
    }

    #[test]
    fn disabling_closes_every_open_span_and_enabling_opens_the_next() {
        let mut installed = Installed::new(true);
        installed.enable(false, 7);
        assert_eq!(installed.stretches(), [(5, Some(7))]);
        assert_eq!(installed.installation.held_since, Some(at(7).now));
        installed.enable(true, 9);
        assert_eq!(installed.stretches(), [(5, Some(7)), (9, None)]);
        assert_eq!(installed.installation.held_since, None);
        assert_eq!(installed.installation.revision, 3);
    }

    #[test]
    fn a_subscription_that_was_ended_while_disabled_stays_ended() {
        let mut installed = Installed::new(true);
        installed.enable(false, 7);
        let subscription_id = subscription(1);
        installed
            .change(InstallationChange::Unsubscribe { subscription_id }, 8)
            .unwrap();
        assert_eq!(
            installed.stretches(),
            [(5, Some(7))],
            "its end stays where it was"
        );
        installed.enable(true, 9);
        assert_eq!(installed.stretches(), [(5, Some(7))]);
        let again = installed.change(InstallationChange::Unsubscribe { subscription_id }, 10);
        assert!(
            matches!(again, Err(ChangeError::NotFound("subscription"))),
            "{again:?}"
        );
    }

    #[test]
    fn a_pattern_is_subscribed_to_once_but_again_after_its_end() {
        let mut installed = Installed::new(false);
        let twice = installed.change(subscribe(2, "a.*"), 6);
        assert!(matches!(twice, Err(ChangeError::Conflict(_))), "{twice:?}");
        let subscription_id = subscription(1);
        installed
            .change(InstallationChange::Unsubscribe { subscription_id }, 6)
            .unwrap();
        installed.change(subscribe(2, "a.*"), 6).unwrap();
        installed.enable(true, 8);
        assert_eq!(installed.stretches(), [(5, Some(5)), (6, Some(6)), (8, None)]);
    }

    #[test]
    fn an_installation_that_names_a_pattern_twice_is_refused() {
        let installed = Installed::new(true).installation;
        let pattern = || EventPattern::parse("a.*").unwrap();
        let new = NewInstallation {
            id: installed.id,
            key: installed.key,
            name: installed.name,
            delivery_type: installed.delivery_type,
            service_base_url: None,
            signing_secret: String::new(),
            headers: String::new(),
            enabled: true,
            subscriptions: vec![(subscription(1), pattern()), (subscription(2), pattern())],
        };
        let refused = install(installed.workspace_id, new, at(5), &mut Uuid::nil);
        assert!(matches!(refused, Err(ChangeError::Conflict(_))), "{refused:?}");
    }

    #[test]
    fn a_rotated_secret_signs_for_a_day_beside_the_new_one() {
        let mut installed = Installed::new(true);
        let sealed = "second".to_owned();
        installed
            .change(InstallationChange::RotateSecret { sealed }, 6)
            .unwrap();
        let previous = installed.installation.previous_secret.clone().unwrap();
        assert_eq!(
            (&*previous.sealed, previous.until),
            ("first", at(6).now + PREVIOUS_SECRET)
        );
        assert_eq!(installed.installation.signing_secret, "second");
    }

    #[test]
    fn uninstalling_closes_what_is_open_and_says_where() {
        let mut installed = Installed::new(true);
        installed.change(InstallationChange::Uninstall, 9).unwrap();
        assert_eq!(installed.stretches(), [(5, Some(9))]);
        assert_eq!(installed.installation.uninstalled_seq, Some(Seq::new(9)));
    }
}
