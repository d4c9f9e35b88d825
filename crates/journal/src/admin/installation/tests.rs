//! What admins' changes make of an installation's spans.

use pointsman_domain::{id::InstallationId, installation::DeliveryType};

use super::*;

mod fates;

fn at(head: i64) -> ChangePoint {
    ChangePoint {
        head: Seq::new(head),
        now: Timestamp::from_millis(head * 1000),
    }
}

pub(super) fn subscription(number: u128) -> SubscriptionId {
    SubscriptionId::new(Uuid::from_u128(number))
}

/// An installation with all of its spans, as the tables would hold them.
pub(super) struct Installed {
    pub(super) installation: Installation,
    pub(super) spans: Vec<StoredSpan>,
    ids: u128,
}

impl Installed {
    pub(super) fn new(enabled: bool) -> Self {
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

    /// Makes the change with the spans that it needs, as the tables find them.
    pub(super) fn change(&mut self, asked: InstallationChange, head: i64) -> Result<(), ChangeError> {
        let needed = SpansNeeded::by(&asked, &self.installation);
        let is_needed = |span: &Span| match needed {
            SpansNeeded::Nothing => false,
            SpansNeeded::Current => true,
            SpansNeeded::OfPattern(pattern) => span.pattern == *pattern,
            SpansNeeded::OfSubscription(id) => span.subscription_id == id,
        };
        let spans: Vec<StoredSpan> = self
            .spans
            .iter()
            .filter(|stored| stored.is_current && is_needed(&stored.span))
            .cloned()
            .collect();
        let mut ids = self.ids;
        let changes = change(self.installation.clone(), &spans, asked, at(head), &mut || {
            ids += 1;
            Uuid::from_u128(ids)
        })?;
        self.ids = ids;
        changes.apply_to(&mut self.spans);
        self.installation = changes.installation;
        Ok(())
    }

    pub(super) fn enable(&mut self, enabled: bool, head: i64) {
        let update = InstallationUpdate {
            enabled: Some(enabled),
            ..InstallationUpdate::default()
        };
        self.change(InstallationChange::Update(update), head).unwrap();
    }

    /// From where to where each span goes.
    fn stretches(&self) -> Vec<(i64, Option<i64>)> {
        let stretch = |stored: &StoredSpan| (stored.span.from_seq.get(), stored.span.until_seq.map(Seq::get));
        self.spans.iter().map(stretch).collect()
    }
}

pub(super) fn subscribe(number: u128, pattern: &str) -> InstallationChange {
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
fn enabling_where_nothing_was_published_opens_the_same_span_again() {
    let mut installed = Installed::new(true);
    for _ in 0..3 {
        installed.enable(false, 7);
        assert_eq!(installed.stretches(), [(5, Some(7))]);
        installed.enable(true, 7);
        assert_eq!(installed.stretches(), [(5, None)]);
    }
    installed.enable(false, 8);
    assert_eq!(installed.stretches(), [(5, Some(8))]);
}

#[test]
fn disabling_where_nothing_was_published_leaves_one_empty_span() {
    let mut installed = Installed::new(false);
    for _ in 0..3 {
        assert_eq!(installed.stretches(), [(5, Some(5))]);
        installed.enable(true, 5);
        assert_eq!(installed.stretches(), [(5, None)]);
        installed.enable(false, 5);
    }
    installed.enable(true, 6);
    assert_eq!(installed.stretches(), [(5, Some(5)), (6, None)]);
}

#[test]
fn only_one_span_of_a_subscription_is_current_and_none_of_one_that_was_ended() {
    let mut installed = Installed::new(true);
    let current = |installed: &Installed| -> Vec<bool> {
        installed.spans.iter().map(|stored| stored.is_current).collect()
    };
    installed.enable(false, 7);
    assert_eq!(current(&installed), [true]);
    installed.enable(true, 9);
    assert_eq!(current(&installed), [false, true]);
    let first = installed.spans[0].subscribed_at;
    assert_eq!(
        installed.spans[1].subscribed_at, first,
        "the subscription is as old as before"
    );
    let subscription_id = subscription(1);
    installed
        .change(InstallationChange::Unsubscribe { subscription_id }, 9)
        .unwrap();
    assert_eq!(current(&installed), [false, false]);
}

#[test]
fn a_change_needs_no_more_spans_than_it_is_about() {
    let installation = Installed::new(true).installation;
    let needed = |change: &InstallationChange| format!("{:?}", SpansNeeded::by(change, &installation));
    let update = |enabled| {
        InstallationChange::Update(InstallationUpdate {
            name: Some("CRM 2".to_owned()),
            enabled,
            ..InstallationUpdate::default()
        })
    };
    for change in [
        update(None),
        update(Some(true)),
        InstallationChange::RotateSecret {
            sealed: String::new(),
        },
    ] {
        assert_eq!(needed(&change), "Nothing", "{change:?}");
    }
    assert_eq!(needed(&update(Some(false))), "Current");
    assert_eq!(needed(&InstallationChange::Uninstall), "Current");
    assert!(needed(&subscribe(2, "a.*")).starts_with("OfPattern"));
    let subscription_id = subscription(1);
    let unsubscribe = InstallationChange::Unsubscribe { subscription_id };
    assert!(needed(&unsubscribe).starts_with("OfSubscription"));
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
