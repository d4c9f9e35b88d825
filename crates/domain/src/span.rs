//! Spans: which part of the log a subscription covers, and so which installations are due for an event.

use super::{event_key::EventKey, event_pattern::EventPattern, id::SubscriptionId, seq::Seq};

/// A part of the log that a subscription covers: `from_seq < seq ≤ until_seq`. Spans stay when they have ended, so that
/// an event that was due stays due. Those of one subscription do not overlap: at each position the latest that begins
/// before it decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub subscription_id: SubscriptionId,
    pub pattern: EventPattern,
    /// The head of the log when the span was opened; the first event covered is the one after.
    pub from_seq: Seq,
    /// The last event covered; an open span has no end.
    pub until_seq: Option<Seq>,
    /// What closed it; `None` while it is open.
    pub closed_by: Option<SpanCloseReason>,
}

/// What closed a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpanCloseReason {
    Unsubscribed,
    Disabled,
    Uninstalled,
}

/// Why an event was not delivered to an installation that was not due for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotDue {
    /// The event was published before the installation or after its end.
    NotInstalled,
    /// The installation was disabled when the event was published.
    Disabled,
    /// No subscription matched the event when it was published.
    NotSubscribed,
}

impl Span {
    /// Whether the position lies within the span.
    pub fn covers(&self, seq: Seq) -> bool {
        self.from_seq < seq && self.until_seq.is_none_or(|until| seq <= until)
    }

    /// The end of the span, if a disabling closed it before this position.
    fn disabled_before(&self, seq: Seq) -> Option<Seq> {
        self.until_seq
            .filter(|until| *until < seq && self.closed_by == Some(SpanCloseReason::Disabled))
    }
}

/// Whether an installation with these spans is due for the event. The one place that decides this: for
/// live delivery, after a crash, and where admins see what became of an event.
pub fn is_due(spans: &[Span], seq: Seq, key: &EventKey) -> bool {
    spans
        .iter()
        .any(|span| span.covers(seq) && span.pattern.matches(key))
}

/// Why an installation with all these spans, for which [`is_due`] said no, did not get the event.
pub fn why_not_due(
    installed_seq: Seq,
    uninstalled_seq: Option<Seq>,
    spans: &[Span],
    seq: Seq,
    key: &EventKey,
) -> NotDue {
    if seq <= installed_seq || uninstalled_seq.is_some_and(|end| seq > end) {
        NotDue::NotInstalled
    } else if spans
        .iter()
        .any(|span| span.pattern.matches(key) && was_disabled_at(span, spans, seq))
    {
        NotDue::Disabled
    } else {
        NotDue::NotSubscribed
    }
}

/// Whether the span ended before the position because of a disabling that had not been undone by then. A later
/// span of the same subscription undoes it, unless a disabling ended that one before the position as well.
fn was_disabled_at(span: &Span, spans: &[Span], seq: Seq) -> bool {
    let Some(until) = span.disabled_before(seq) else {
        return false;
    };
    !spans.iter().any(|later| {
        later.subscription_id == span.subscription_id
            && until <= later.from_seq
            && later.from_seq < seq
            && later.disabled_before(seq).is_none()
    })
}

impl SpanCloseReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unsubscribed => "UNSUBSCRIBED",
            Self::Disabled => "DISABLED",
            Self::Uninstalled => "UNINSTALLED",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Unsubscribed, Self::Disabled, Self::Uninstalled]
            .into_iter()
            .find(|reason| reason.as_str() == text)
    }
}

impl NotDue {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotInstalled => "NOT_INSTALLED",
            Self::Disabled => "DISABLED",
            Self::NotSubscribed => "NOT_SUBSCRIBED",
        }
    }
}

#[cfg(test)]
mod tests;
