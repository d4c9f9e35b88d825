//! Whom an event of the workspace concerns.

use std::collections::HashSet;

use crate::ring::Ring;
use pointsman_domain::{
    event_key::EventKey, event_pattern::PatternIndex, id::InstallationId, installation::InstallationView,
};

/// The patterns of all spans of all views, which tell who may be due for an event. [`is_due`] decides.
///
/// [`is_due`]: pointsman_domain::span::is_due
#[derive(Default)]
pub(super) struct Subscriptions(PatternIndex<InstallationId>);

impl Subscriptions {
    /// An installation has this view now, in place of the one before, if it had one.
    pub(super) fn replace(&mut self, before: Option<&InstallationView>, now: &InstallationView) {
        if let Some(before) = before {
            self.remove(before);
        }
        for span in &now.spans {
            self.0.insert(&span.pattern, now.id());
        }
    }

    /// The installation with this view is gone.
    pub(super) fn remove(&mut self, view: &InstallationView) {
        for span in &view.spans {
            self.0.remove(&span.pattern, view.id());
        }
    }

    /// To whom one of these events may be due.
    pub(super) fn concerned_by(&self, recent: &Ring) -> HashSet<InstallationId> {
        let mut concerned = HashSet::new();
        let mut last: Option<&EventKey> = None;
        for event in recent.iter() {
            // Events of one key tend to come together.
            if last != Some(&event.event_key) {
                last = Some(&event.event_key);
                self.0.find(&event.event_key, |id| {
                    concerned.insert(id);
                });
            }
        }
        concerned
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::samples::{event, id, view};

    fn concerned(subscriptions: &Subscriptions, keys: &[&str]) -> Vec<InstallationId> {
        let mut recent = Ring::default();
        recent.push((1..).zip(keys).map(|(seq, key)| event(seq, key)));
        let mut concerned: Vec<_> = subscriptions.concerned_by(&recent).into_iter().collect();
        concerned.sort_unstable();
        concerned
    }

    #[test]
    fn events_concern_those_who_are_subscribed_to_them() {
        let (crm, chat) = (view(1, "crm.**", 0), view(2, "chat.*", 0));
        let mut subscriptions = Subscriptions::default();
        subscriptions.replace(None, &crm);
        subscriptions.replace(None, &chat);
        let keys = ["crm.deal", "crm.deal", "chat.message"];
        assert_eq!(concerned(&subscriptions, &keys), [id(1), id(2)]);
        assert_eq!(concerned(&subscriptions, &["crm.deal.closed"]), [id(1)]);
        assert_eq!(concerned(&subscriptions, &["billing.paid"]), []);

        subscriptions.replace(Some(&crm), &view(1, "billing.*", 0));
        assert_eq!(concerned(&subscriptions, &keys), [id(2)]);
        assert_eq!(concerned(&subscriptions, &["billing.paid"]), [id(1)]);
        subscriptions.remove(&chat);
        assert_eq!(concerned(&subscriptions, &keys), []);
    }
}
