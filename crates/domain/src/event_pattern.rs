//! Subscription patterns: `crm.deal.closed`, `crm.*.closed`, `crm.**`.

#![warn(missing_docs)]

mod index;

use std::fmt;

pub use self::index::PatternIndex;
use super::event_key::{EventKey, EventKeyError, MAX_EVENT_KEY_BYTES, is_segment};

/// What a subscription listens to: an exact [`EventKey`], or a pattern in which `*` stands for exactly one
/// segment and `**`, only as the last segment, for one or more. At most 255 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventPattern(Box<str>);

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventPatternError {
    /// It has more than [`MAX_EVENT_KEY_BYTES`].
    #[error("must be at most {MAX_EVENT_KEY_BYTES} bytes long")]
    TooLong,
    /// It has neither a dot nor a wildcard.
    #[error(
        "must have 2 or more segments joined by dots, or a wildcard, for example crm.deal.closed or crm.**"
    )]
    TooFewSegments,
    /// A segment is empty, has a character that is not allowed, or has more than a wildcard.
    #[error("must consist of segments joined by single dots: letters, digits, _ and -, or * or ** alone")]
    BadSegment,
    /// A segment follows `**`.
    #[error("may have ** only as its last segment")]
    DoubleStarNotLast,
}

impl EventPattern {
    /// The pattern that is written like this. Case matters.
    ///
    /// # Errors
    /// When the text breaks one of the rules of [`EventPattern`].
    pub fn parse(text: &str) -> Result<Self, EventPatternError> {
        if !text.contains('*') {
            EventKey::parse(text)?;
            return Ok(Self(text.into()));
        }
        if text.len() > MAX_EVENT_KEY_BYTES {
            return Err(EventPatternError::TooLong);
        }
        let mut segments = text.split('.').peekable();
        while let Some(segment) = segments.next() {
            match segment {
                "*" => {}
                "**" if segments.peek().is_some() => return Err(EventPatternError::DoubleStarNotLast),
                "**" => {}
                _ if is_segment(segment) => {}
                _ => return Err(EventPatternError::BadSegment),
            }
        }
        Ok(Self(text.into()))
    }

    /// A pattern read back from the database, which only ever takes parsed ones.
    pub fn from_stored(text: String) -> Self {
        Self(text.into_boxed_str())
    }

    /// The whole pattern, such as `crm.**`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it has no wildcard, and so stands for one key.
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// Whether the pattern stands for this key. Case matters; nothing is allocated.
    pub fn matches(&self, key: &EventKey) -> bool {
        let mut segments = key.as_str().split('.');
        for wanted in self.0.split('.') {
            match (wanted, segments.next()) {
                (_, None) => return false,
                ("**", Some(_)) => return true,
                ("*", Some(_)) => {}
                (wanted, Some(segment)) if wanted == segment => {}
                _ => return false,
            }
        }
        segments.next().is_none()
    }
}

impl From<EventKeyError> for EventPatternError {
    fn from(error: EventKeyError) -> Self {
        match error {
            EventKeyError::TooLong => Self::TooLong,
            EventKeyError::TooFewSegments => Self::TooFewSegments,
            EventKeyError::BadSegment => Self::BadSegment,
        }
    }
}

impl fmt::Display for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventPattern({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rules once more, over lists of segments and by recursion.
    fn reference(pattern: &[&str], key: &[&str]) -> bool {
        match (pattern, key) {
            ([], []) => true,
            (["**"], [_, ..]) => true,
            (["*", pattern @ ..], [_, key @ ..]) => reference(pattern, key),
            ([wanted, pattern @ ..], [segment, key @ ..]) => wanted == segment && reference(pattern, key),
            _ => false,
        }
    }

    fn matches(pattern: &str, key: &str) -> bool {
        EventPattern::parse(pattern)
            .unwrap()
            .matches(&EventKey::parse(key).unwrap())
    }

    #[test]
    fn an_exact_pattern_matches_its_key_alone() {
        assert!(matches("crm.deal.closed", "crm.deal.closed"));
        assert!(!matches("crm.deal.closed", "crm.deal.close"));
        assert!(!matches("crm.deal.closed", "crm.deal"));
        assert!(!matches("crm.deal", "crm.deal.closed"));
        assert!(!matches("crm.deal", "CRM.deal"));
    }

    #[test]
    fn a_star_is_exactly_one_segment() {
        assert!(matches("crm.*.closed", "crm.deal.closed"));
        assert!(!matches("crm.*.closed", "crm.closed"));
        assert!(!matches("crm.*", "crm.deal.closed"));
        assert!(!matches("*", "crm.deal"));
    }

    #[test]
    fn a_double_star_is_one_or_more_segments_at_the_end() {
        assert!(matches("**", "crm.deal"));
        assert!(matches("crm.**", "crm.deal.closed"));
        assert!(!matches("crm.deal.**", "crm.deal"));
        assert!(!matches("crm.**", "crmx.deal"));
    }

    #[test]
    fn texts_that_are_no_pattern_are_refused_with_the_reason() {
        for (text, error) in [
            ("", EventPatternError::BadSegment),
            ("crm", EventPatternError::TooFewSegments),
            ("crm..deal", EventPatternError::BadSegment),
            ("crm.d*", EventPatternError::BadSegment),
            ("crm.***", EventPatternError::BadSegment),
            (".*", EventPatternError::BadSegment),
            ("crm.*.", EventPatternError::BadSegment),
            ("cr\u{fc}.*", EventPatternError::BadSegment),
            ("crm.**.closed", EventPatternError::DoubleStarNotLast),
            ("**.**", EventPatternError::DoubleStarNotLast),
        ] {
            assert_eq!(EventPattern::parse(text), Err(error), "{text:?}");
        }
        assert_eq!(
            EventPattern::parse(&format!("{}.*", "a".repeat(254))),
            Err(EventPatternError::TooLong)
        );
        assert!(EventPattern::parse(&format!("{}.*", "a".repeat(253))).is_ok());
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_reference(
            mut pattern in prop::collection::vec(prop::sample::select(vec!["a", "b", "*"]), 1..5),
            open_end in any::<bool>(),
            key in prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 2..6),
        ) {
            if open_end {
                pattern.push("**");
            }
            let stored = EventPattern::from_stored(pattern.join("."));
            let parsed = EventKey::parse(&key.join(".")).unwrap();
            prop_assert_eq!(stored.matches(&parsed), reference(&pattern, &key));
        }

        #[test]
        fn every_event_key_is_a_pattern_of_itself(text in "[A-Za-z0-9_-]{1,9}(\\.[A-Za-z0-9_-]{1,9}){1,5}") {
            prop_assert!(matches(&text, &text));
        }

        #[test]
        fn what_parses_is_kept_as_it_was(text in "[ab.*]{0,12}") {
            if let Ok(pattern) = EventPattern::parse(&text) {
                prop_assert_eq!(pattern.as_str(), text.as_str());
            }
        }
    }
}
