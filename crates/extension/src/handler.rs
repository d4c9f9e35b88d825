//! One handler of an extension.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::LocalBoxFuture;

use super::{EventContext, HandlerError, HandlerOutcome};
use pointsman_domain::{
    event_key::EventKey,
    event_pattern::{EventPattern, EventPatternError},
    retry_schedule::RetrySchedule,
};

/// Handles one event. It is called on a thread of the extension's executor.
type Invoke =
    dyn Fn(EventContext) -> LocalBoxFuture<'static, Result<HandlerOutcome, HandlerError>> + Send + Sync;

/// A handler: the events that it takes, how it is run, and what is called. The attribute `#[event_handler]` writes one.
/// Cheap to clone.
#[derive(Clone)]
pub struct EventHandler {
    name: Arc<str>,
    pattern: EventPattern,
    is_async: bool,
    retry: Option<Vec<Duration>>,
    max_attempts: Option<u32>,
    payload_schema: Option<serde_json::Value>,
    invoke: Arc<Invoke>,
}

impl EventHandler {
    /// A synchronous handler: publishers wait for it, for up to `in_process.sync_timeout`. `name` is 1 to 128 bytes of
    /// `[A-Za-z0-9_]`; the registration checks it. `event_key` is an event key or a pattern, as in a subscription.
    /// `invoke` handles one event; its future need not be `Send`.
    ///
    /// # Errors
    /// When `event_key` is neither an event key nor a pattern.
    pub fn new<F>(name: &str, event_key: &str, invoke: F) -> Result<Self, EventPatternError>
    where
        F: Fn(EventContext) -> LocalBoxFuture<'static, Result<HandlerOutcome, HandlerError>>
            + Send
            + Sync
            + 'static,
    {
        Ok(Self {
            name: name.into(),
            pattern: EventPattern::parse(event_key)?,
            is_async: false,
            retry: None,
            max_attempts: None,
            payload_schema: None,
            invoke: Arc::new(invoke),
        })
    }

    /// Makes it asynchronous: publishers do not wait for it, and an attempt may take `in_process.async_timeout`.
    #[must_use]
    pub fn asynchronous(mut self) -> Self {
        self.is_async = true;
        self
    }

    /// Sets the pauses between its attempts, instead of `delivery.retry_schedule`. Without pauses there is one attempt.
    #[must_use]
    pub fn retry(mut self, pauses: impl Into<Vec<Duration>>) -> Self {
        self.retry = Some(pauses.into());
        self
    }

    /// Sets the most attempts of a delivery, the first included; 0 counts as 1. Where there are fewer pauses, the last
    /// is repeated.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts.max(1));
        self
    }

    /// Sets the JSON Schema of the payload that it takes, which admins are shown.
    #[must_use]
    pub fn payload_schema(mut self, schema: Option<serde_json::Value>) -> Self {
        self.payload_schema = schema;
        self
    }

    /// Its name, unique within the extension.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The event key or the pattern of the events that it takes.
    pub fn pattern(&self) -> &EventPattern {
        &self.pattern
    }

    /// Whether it takes events with this key.
    pub fn takes(&self, key: &EventKey) -> bool {
        self.pattern.matches(key)
    }

    /// Whether publishers do not wait for it.
    pub fn is_async(&self) -> bool {
        self.is_async
    }

    /// The JSON Schema of the payload that it takes, where there is one.
    pub fn schema(&self) -> Option<&serde_json::Value> {
        self.payload_schema.as_ref()
    }

    /// Its own schedule; `None` where it has the `default` one, which is that of all deliveries.
    pub fn schedule(&self, default: &RetrySchedule) -> Option<RetrySchedule> {
        if self.retry.is_none() && self.max_attempts.is_none() {
            return None;
        }
        let mut schedule = match &self.retry {
            Some(pauses) => default.with_delays(pauses.clone()),
            None => default.clone(),
        };
        if let Some(attempts) = self.max_attempts {
            schedule.limit_attempts(attempts);
        }
        Some(schedule)
    }

    /// Calls it for one attempt.
    pub fn invoke(
        &self,
        context: EventContext,
    ) -> LocalBoxFuture<'static, Result<HandlerOutcome, HandlerError>> {
        (self.invoke)(context)
    }
}

impl fmt::Debug for EventHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventHandler")
            .field("name", &self.name)
            .field("pattern", &self.pattern)
            .field("is_async", &self.is_async)
            .finish_non_exhaustive()
    }
}
