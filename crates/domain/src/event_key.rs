//! Event keys: `crm.deal.closed`.

#![warn(missing_docs)]

use std::{fmt, sync::Arc};

/// A dot-separated event identifier: 2 or more segments of `[A-Za-z0-9_-]+`, at most 255 bytes. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKey(Arc<str>);

/// The longest event key, in bytes.
pub const MAX_EVENT_KEY_BYTES: usize = 255;

/// Why a text is no event key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventKeyError {
    /// It has more than [`MAX_EVENT_KEY_BYTES`].
    #[error("must be at most {MAX_EVENT_KEY_BYTES} bytes long")]
    TooLong,
    /// It has no dot.
    #[error("must have 2 or more segments joined by dots, for example crm.deal.closed")]
    TooFewSegments,
    /// A segment is empty or has a character that is not allowed.
    #[error("must consist of segments of letters, digits, _ and -, joined by single dots")]
    BadSegment,
}

impl EventKey {
    /// The key that is written like this. Case matters.
    ///
    /// # Errors
    /// When the text breaks one of the rules of [`EventKey`].
    pub fn parse(text: &str) -> Result<Self, EventKeyError> {
        if text.len() > MAX_EVENT_KEY_BYTES {
            return Err(EventKeyError::TooLong);
        }
        if !text.split('.').all(is_segment) {
            return Err(EventKeyError::BadSegment);
        }
        if !text.contains('.') {
            return Err(EventKeyError::TooFewSegments);
        }
        Ok(Self(text.into()))
    }

    /// A key read back from the log, which only ever takes parsed ones.
    pub fn from_stored(text: String) -> Self {
        Self(text.into())
    }

    /// The whole key, such as `crm.deal.closed`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same text, shared.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

/// Whether the text may stand between two dots of an event key.
pub(crate) fn is_segment(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

impl fmt::Display for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventKey({})", self.0)
    }
}
