//! How a receiver answers.

use std::time::Duration;

use bytes::Bytes;

/// What a [`Receiver`](super::Receiver) does with the events it gets. It can be changed at run time; an
/// event is answered by the behaviour that held when it arrived.
#[derive(Clone, Debug)]
pub struct Behavior {
    /// The status of the answer.
    pub status: u16,
    /// How long to wait before answering.
    pub delay: Duration,
    /// Never answer.
    pub hang: bool,
    /// Answer the first so many events, counted from when this behaviour was set, with 500.
    pub fail_first: u64,
    /// Answer the events whose body contains this text with this status.
    pub fail_where: Option<(String, u16)>,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Default for Behavior {
    /// Takes everything at once: 200 with an empty body.
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

    /// Fails the first `count` events and takes those after them.
    pub fn fail_first(count: u64) -> Self {
        Self {
            fail_first: count,
            ..Self::default()
        }
    }

    /// Answers the events whose body contains `text` with this status, and takes all others.
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

    /// The status for the event with this body that is the `number`th, from 1, under this behaviour.
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
