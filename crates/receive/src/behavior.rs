//! How a receiver answers.

use std::time::Duration;

use bytes::Bytes;

/// What a [`Receiver`](super::Receiver) does with the events that it gets. It can be changed at run time; an event is
/// answered by the behaviour at its arrival.
#[derive(Clone, Debug)]
pub struct Behavior {
    /// The status of the answer.
    pub status: u16,
    /// How long to wait before answering.
    pub delay: Duration,
    /// Never answer.
    pub hang: bool,
    /// Answer this many events with 500, counted from when this behaviour is set.
    pub fail_first: u64,
    /// Answer the events whose body contains this text with this status.
    pub fail_where: Option<(String, u16)>,
    /// Headers of every answer, as names and values.
    pub headers: Vec<(String, String)>,
    /// The body of every answer.
    pub body: Bytes,
}

impl Default for Behavior {
    /// Answers every event at once with 200 and an empty body.
    fn default() -> Self {
        Self {
            status: 200,
            delay: Duration::ZERO,
            hang: false,
            fail_first: 0,
            fail_where: None,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }
}

impl Behavior {
    /// Answers everything with this status.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    /// Takes events and never answers.
    pub fn hang() -> Self {
        Self {
            hang: true,
            ..Self::default()
        }
    }

    /// Answers the first `count` events with 500, and those after them with 200.
    pub fn fail_first(count: u64) -> Self {
        Self {
            fail_first: count,
            ..Self::default()
        }
    }

    /// Answers the events whose body contains `text` with this status, and all others with 200.
    pub fn fail_where(text: &str, status: u16) -> Self {
        Self {
            fail_where: Some((text.to_owned(), status)),
            ..Self::default()
        }
    }

    /// Adds a header to every answer.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body of every answer.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Answers only after this time.
    #[must_use]
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The status for the `number`th event under this behaviour, from 1, with this body.
    pub(super) fn status_of(&self, number: u64, body: &[u8]) -> u16 {
        if number <= self.fail_first {
            return 500;
        }
        match &self.fail_where {
            Some((text, status)) if contains(body, text.as_bytes()) => *status,
            _ => self.status,
        }
    }
}

/// An empty text is in every body.
fn contains(body: &[u8], text: &[u8]) -> bool {
    text.is_empty() || body.windows(text.len()).any(|window| window == text)
}
