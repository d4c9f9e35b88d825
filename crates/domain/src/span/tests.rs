//! Spans against the history of an installation, replayed event by event.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn key(text: &str) -> EventKey {
    EventKey::parse(text).unwrap()
}

fn seq(value: i64) -> Seq {
    Seq::new(value)
}

fn span(subscription: u128, from: i64, until: Option<(i64, SpanCloseReason)>) -> Span {
    Span {
        subscription_id: SubscriptionId::new(Uuid::from_u128(subscription)),
        pattern: EventPattern::parse("crm.**").unwrap(),
        from_seq: seq(from),
        until_seq: until.map(|(until, _)| seq(until)),
        closed_by: until.map(|(_, reason)| reason),
    }
}

fn why(spans: &[Span], at: i64) -> NotDue {
    why_not_due(seq(0), None, spans, seq(at), &key("crm.deal"))
}

#[test]
fn a_span_covers_what_comes_after_its_start_up_to_its_end() {
    let closed = [span(1, 3, Some((5, SpanCloseReason::Unsubscribed)))];
    let due: Vec<_> = (1..8)
        .filter(|at| is_due(&closed, seq(*at), &key("crm.deal")))
        .collect();
    assert_eq!(due, [4, 5]);
    assert!(is_due(&[span(1, 3, None)], seq(1_000_000), &key("crm.deal")));
    assert!(!is_due(&[span(1, 3, None)], seq(4), &key("chat.message")));
}

#[test]
fn before_the_installation_and_after_its_end_it_was_not_installed() {
    let spans = [span(1, 3, Some((5, SpanCloseReason::Uninstalled)))];
    let why = |at| why_not_due(seq(3), Some(seq(5)), &spans, seq(at), &key("crm.deal"));
    assert_eq!(why(3), NotDue::NotInstalled);
    assert_eq!(why(6), NotDue::NotInstalled);
}

#[test]
fn what_came_while_disabled_is_told_from_what_was_never_subscribed() {
    let spans = [span(1, 0, Some((5, SpanCloseReason::Disabled))), span(1, 8, None)];
    assert_eq!(why(&spans, 6), NotDue::Disabled);
    assert_eq!(why(&spans, 8), NotDue::Disabled);
    assert_eq!(
        why_not_due(seq(0), None, &spans, seq(6), &key("chat.message")),
        NotDue::NotSubscribed
    );
    assert_eq!(
        why(&[span(1, 0, Some((5, SpanCloseReason::Unsubscribed)))], 6),
        NotDue::NotSubscribed
    );
}

#[test]
fn enabling_and_disabling_again_at_one_place_leaves_it_disabled() {
    let disabled = Some((5, SpanCloseReason::Disabled));
    let spans = [span(1, 0, disabled), span(1, 5, disabled), span(1, 5, disabled)];
    assert_eq!(why(&spans, 6), NotDue::Disabled);
}

#[test]
fn words_are_read_back_as_they_were_written() {
    for reason in [
        SpanCloseReason::Unsubscribed,
        SpanCloseReason::Disabled,
        SpanCloseReason::Uninstalled,
    ] {
        assert_eq!(SpanCloseReason::parse(reason.as_str()), Some(reason));
    }
    assert_eq!(SpanCloseReason::parse("GONE"), None);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Publish,
    Subscribe(usize),
    Unsubscribe(usize),
    Disable,
    Enable,
    Uninstall,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => Just(Step::Publish),
        3 => (0..PATTERNS.len()).prop_map(Step::Subscribe),
        2 => (0..PATTERNS.len()).prop_map(Step::Unsubscribe),
        2 => Just(Step::Disable),
        2 => Just(Step::Enable),
        1 => Just(Step::Uninstall),
    ];
    prop::collection::vec(step, 0..60)
}

const PATTERNS: [&str; 3] = ["crm.deal", "crm.**", "chat.*"];

/// An installation that keeps spans as the journal does, and beside them what is true right now.
#[derive(Default)]
struct History {
    head: i64,
    spans: Vec<Span>,
    subscribed: [Option<SubscriptionId>; 3],
    subscriptions: u128,
    disabled: bool,
    uninstalled_seq: Option<Seq>,
}

impl History {
    fn open(&mut self, index: usize, subscription_id: SubscriptionId) {
        let pattern = EventPattern::parse(PATTERNS[index]).unwrap();
        let from_seq = seq(self.head);
        self.spans.push(Span {
            subscription_id,
            pattern,
            from_seq,
            until_seq: None,
            closed_by: None,
        });
    }

    fn close(&mut self, which: impl Fn(&Span) -> bool, reason: SpanCloseReason) {
        for span in self
            .spans
            .iter_mut()
            .filter(|span| span.until_seq.is_none() && which(span))
        {
            span.until_seq = Some(Seq::new(self.head));
            span.closed_by = Some(reason);
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Publish => self.head += 1,
            _ if self.uninstalled_seq.is_some() => {}
            Step::Subscribe(index) if !self.disabled && self.subscribed[index].is_none() => {
                self.subscriptions += 1;
                let id = SubscriptionId::new(Uuid::from_u128(self.subscriptions));
                self.subscribed[index] = Some(id);
                self.open(index, id);
            }
            Step::Unsubscribe(index) if !self.disabled => {
                if let Some(id) = self.subscribed[index].take() {
                    self.close(|span| span.subscription_id == id, SpanCloseReason::Unsubscribed);
                }
            }
            Step::Disable => {
                self.disabled = true;
                self.close(|_| true, SpanCloseReason::Disabled);
            }
            Step::Enable if self.disabled => {
                self.disabled = false;
                for index in 0..PATTERNS.len() {
                    if let Some(id) = self.subscribed[index] {
                        self.open(index, id);
                    }
                }
            }
            Step::Uninstall => {
                self.uninstalled_seq = Some(seq(self.head));
                self.close(|_| true, SpanCloseReason::Uninstalled);
            }
            Step::Subscribe(_) | Step::Unsubscribe(_) | Step::Enable => {}
        }
    }

    /// What the present state says about an event published now: `None` means due.
    fn expected(&self, key: &EventKey) -> Option<NotDue> {
        let subscribed = (0..PATTERNS.len()).any(|index| {
            self.subscribed[index].is_some() && EventPattern::parse(PATTERNS[index]).unwrap().matches(key)
        });
        match (self.uninstalled_seq, subscribed, self.disabled) {
            (Some(_), _, _) => Some(NotDue::NotInstalled),
            (None, false, _) => Some(NotDue::NotSubscribed),
            (None, true, true) => Some(NotDue::Disabled),
            (None, true, false) => None,
        }
    }
}

proptest! {
    #[test]
    fn spans_remember_who_was_due_for_what_at_the_time(steps in steps()) {
        let keys = [key("crm.deal"), key("crm.product"), key("chat.message")];
        let mut history = History::default();
        let mut expected = Vec::new();
        for step in steps {
            history.take(step);
            if matches!(step, Step::Publish) {
                expected.extend(keys.iter().map(|key| (seq(history.head), key, history.expected(key))));
            }
        }
        for (at, key, expected) in expected {
            let found = (!is_due(&history.spans, at, key))
                .then(|| why_not_due(Seq::ZERO, history.uninstalled_seq, &history.spans, at, key));
            prop_assert_eq!(found, expected, "{} at {}", key, at);
        }
    }
}
