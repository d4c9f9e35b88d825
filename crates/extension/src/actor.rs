//! Handlers that are existing actix actors.

use std::sync::Arc;

use actix::prelude::*;

use super::{EventContext, EventHandler, Extension, FromEvent, HandlerError};
use pointsman_domain::event_pattern::EventPatternError;

/// The message by which an [`ActorExtension`] sends an event to an actor. `T` is the payload type, or
/// [`PlatformEvent`](super::PlatformEvent) for the whole event. The actor's answer is the outcome of the attempt.
#[derive(Debug)]
pub struct HandleEvent<T> {
    /// What [`FromEvent`] has read from the event.
    pub payload: T,
    /// The attempt.
    pub context: EventContext,
}

impl<T: 'static> Message for HandleEvent<T> {
    type Result = Result<(), HandlerError>;
}

/// An extension whose handlers are actors: each actor's [`Recipient`] is registered for an event key or a pattern. An
/// actor that has stopped, or that drops the message, fails the attempt, which is retried by the schedule.
#[derive(Debug)]
pub struct ActorExtension {
    key: String,
    name: String,
    handlers: Vec<EventHandler>,
}

impl ActorExtension {
    /// An extension without handlers yet. `key` and `name` are those of [`Extension::key`] and [`Extension::name`];
    /// the registration checks the key.
    pub fn new(key: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            name: name.into(),
            handlers: Vec::new(),
        }
    }

    /// Adds a synchronous handler: sends every event that `event_key` matches to the actor, and publishers wait for its
    /// answer for up to `in_process.sync_timeout`. `name` is the name of the handler, 1 to 128 bytes of
    /// `[A-Za-z0-9_]`; the registration checks it.
    ///
    /// # Errors
    /// When `event_key` is neither an event key nor a pattern.
    pub fn handler<T>(
        self,
        name: &str,
        event_key: &str,
        recipient: Recipient<HandleEvent<T>>,
    ) -> Result<Self, EventPatternError>
    where
        T: FromEvent + Send + 'static,
    {
        self.add(sending(name, event_key, recipient)?)
    }

    /// Adds an asynchronous handler: like [`ActorExtension::handler`], except that publishers do not wait. The actor
    /// has to answer within `in_process.async_timeout`.
    ///
    /// # Errors
    /// When `event_key` is neither an event key nor a pattern.
    pub fn async_handler<T>(
        self,
        name: &str,
        event_key: &str,
        recipient: Recipient<HandleEvent<T>>,
    ) -> Result<Self, EventPatternError>
    where
        T: FromEvent + Send + 'static,
    {
        self.add(sending(name, event_key, recipient)?.asynchronous())
    }

    fn add(mut self, handler: EventHandler) -> Result<Self, EventPatternError> {
        self.handlers.push(handler);
        Ok(self)
    }
}

fn sending<T>(
    name: &str,
    event_key: &str,
    recipient: Recipient<HandleEvent<T>>,
) -> Result<EventHandler, EventPatternError>
where
    T: FromEvent + Send + 'static,
{
    EventHandler::new(name, event_key, move |context| {
        let recipient = recipient.clone();
        Box::pin(async move {
            let payload = T::from_event(context.event())?;
            let handled = recipient.send(HandleEvent { payload, context }).await;
            handled.map_err(|_| HandlerError::new("the actor has stopped, or dropped the event"))??;
            Ok(().into())
        })
    })
}

impl Extension for ActorExtension {
    fn key(&self) -> &str {
        &self.key
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn handlers(self: Arc<Self>) -> Vec<EventHandler> {
        self.handlers.clone()
    }
}
