//! What became of every event, against a model that opens a span for each enabling and keeps all of them.

use std::collections::BTreeSet;

use pointsman_domain::{
    event_key::EventKey,
    span::{NotDue, is_due, why_not_due},
};
use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Publish,
    Enable(bool),
    Subscribe(usize),
    /// One of the subscriptions made so far.
    Unsubscribe(usize),
    Uninstall,
}

const PATTERNS: [&str; 3] = ["a.*", "a.**", "b.*"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        80 => Just(Step::Publish),
        100 => any::<bool>().prop_map(Step::Enable),
        40 => (0..PATTERNS.len()).prop_map(Step::Subscribe),
        30 => any::<usize>().prop_map(Step::Unsubscribe),
        1 => Just(Step::Uninstall),
    ];
    prop::collection::vec(step, 0..80)
}

/// The spans of an installation, none of which is ever opened again or merged.
struct EverySpan {
    spans: Vec<Span>,
    enabled: bool,
    uninstalled: Option<Seq>,
}

impl EverySpan {
    fn open(&mut self, subscription_id: SubscriptionId, pattern: EventPattern, head: Seq) {
        let closed_by = (!self.enabled).then_some(SpanCloseReason::Disabled);
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
            (span.until_seq, span.closed_by) = (Some(head), Some(reason));
        }
    }

    /// The last span of each subscription that was not ended.
    fn current(&self) -> Vec<usize> {
        let mut seen = BTreeSet::new();
        let is_last = |index: &usize| seen.insert(self.spans[*index].subscription_id);
        let last: Vec<usize> = (0..self.spans.len()).rev().filter(is_last).collect();
        last.into_iter()
            .filter(|index| {
                let span = &self.spans[*index];
                span.until_seq.is_none() || span.closed_by == Some(SpanCloseReason::Disabled)
            })
            .collect()
    }

    fn enable(&mut self, enabled: bool, head: Seq) {
        let was_enabled = std::mem::replace(&mut self.enabled, enabled);
        if was_enabled && !enabled {
            self.close_open(SpanCloseReason::Disabled, head);
        } else if !was_enabled && enabled {
            for index in self.current() {
                let span = self.spans[index].clone();
                self.open(span.subscription_id, span.pattern, head);
            }
        }
    }

    /// Whether there was such a subscription.
    fn unsubscribe(&mut self, id: SubscriptionId, head: Seq) -> bool {
        let current = self.current();
        let Some(index) = current
            .into_iter()
            .find(|index| self.spans[*index].subscription_id == id)
        else {
            return false;
        };
        self.spans[index].until_seq.get_or_insert(head);
        self.spans[index].closed_by = Some(SpanCloseReason::Unsubscribed);
        true
    }

    fn has(&self, pattern: &str) -> bool {
        self.current()
            .into_iter()
            .any(|index| self.spans[index].pattern.as_str() == pattern)
    }
}

/// An installation and its model.
struct Both {
    installed: Installed,
    model: EverySpan,
    head: i64,
    subscriptions: u128,
    /// Changes before which an event was published since the change before.
    apart: usize,
    has_published: bool,
}

impl Both {
    fn new(enabled: bool) -> Self {
        let mut model = EverySpan {
            spans: Vec::new(),
            enabled,
            uninstalled: None,
        };
        model.open(
            subscription(1),
            EventPattern::parse(PATTERNS[0]).unwrap(),
            Seq::new(5),
        );
        Self {
            installed: Installed::new(enabled),
            model,
            head: 5,
            subscriptions: 1,
            apart: 0,
            has_published: false,
        }
    }

    fn take(&mut self, step: Step) {
        let head = Seq::new(self.head);
        if self.model.uninstalled.is_some() && !matches!(step, Step::Publish) {
            return;
        }
        match step {
            Step::Publish => {
                self.head += 1;
                self.has_published = true;
                return;
            }
            Step::Enable(enabled) => {
                self.model.enable(enabled, head);
                self.installed.enable(enabled, self.head);
            }
            Step::Subscribe(index) => {
                let id = self.subscriptions + 1;
                let done = self.installed.change(subscribe(id, PATTERNS[index]), self.head);
                assert_eq!(done.is_err(), self.model.has(PATTERNS[index]));
                if done.is_ok() {
                    self.subscriptions = id;
                    let pattern = EventPattern::parse(PATTERNS[index]).unwrap();
                    self.model.open(subscription(id), pattern, head);
                }
            }
            Step::Unsubscribe(index) => {
                let subscription_id = subscription(1 + index as u128 % self.subscriptions);
                let asked = InstallationChange::Unsubscribe { subscription_id };
                let done = self.installed.change(asked, self.head).is_ok();
                assert_eq!(done, self.model.unsubscribe(subscription_id, head));
            }
            Step::Uninstall => {
                self.installed
                    .change(InstallationChange::Uninstall, self.head)
                    .unwrap();
                self.model.close_open(SpanCloseReason::Uninstalled, head);
                self.model.uninstalled = Some(head);
            }
        }
        self.apart += usize::from(std::mem::take(&mut self.has_published));
    }

    fn stored(&self) -> Vec<Span> {
        self.installed
            .spans
            .iter()
            .map(|stored| stored.span.clone())
            .collect()
    }

    /// Of each subscription the latest span that begins before the position: what a read of the fate finds.
    fn deciding(&self, seq: Seq) -> Vec<Span> {
        let mut spans = self.stored();
        spans.retain(|span| span.from_seq < seq);
        spans.sort_by_key(|span| (span.subscription_id, std::cmp::Reverse(span.from_seq)));
        spans.dedup_by_key(|span| span.subscription_id);
        spans
    }

    fn fate(&self, spans: &[Span], seq: Seq, key: &EventKey) -> Option<NotDue> {
        let not_due = || why_not_due(Seq::new(5), self.model.uninstalled, spans, seq, key);
        (!is_due(spans, seq, key)).then(not_due)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_became_of_an_event_is_what_all_spans_say(enabled in any::<bool>(), steps in steps()) {
        let mut both = Both::new(enabled);
        for step in steps {
            both.take(step);
        }
        let keys = ["a.b", "a.b.c", "b.c", "c.d"].map(|key| EventKey::parse(key).unwrap());
        for seq in (1..=both.head + 1).map(Seq::new) {
            for key in &keys {
                let expected = both.fate(&both.model.spans, seq, key);
                prop_assert_eq!(both.fate(&both.stored(), seq, key), expected, "{} at {}", key, seq);
                let deciding = both.deciding(seq);
                prop_assert_eq!(both.fate(&deciding, seq, key), expected, "{} at {}", key, seq);
            }
        }
    }

    #[test]
    fn spans_do_not_grow_without_events(enabled in any::<bool>(), steps in steps()) {
        let mut both = Both::new(enabled);
        for step in steps {
            both.take(step);
            let subscriptions = usize::try_from(both.subscriptions).unwrap();
            let current = both.installed.spans.iter().filter(|stored| stored.is_current).count();
            prop_assert_eq!(current, both.model.current().len());
            prop_assert!(current <= PATTERNS.len());
            // One enabling opens a span for each current subscription, of which there are at most as many as patterns.
            let bound = subscriptions + PATTERNS.len() * both.apart;
            prop_assert!(both.installed.spans.len() <= bound, "{} > {}", both.installed.spans.len(), bound);
        }
    }
}
