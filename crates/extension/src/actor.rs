//! Handlers that are actors already.

use std::sync::Arc;

use actix::prelude::*;

use super::{EventContext, EventHandler, Extension, FromEvent, HandlerError};
use pointsman_domain::event_pattern::EventPatternError;

/// An event for an actor. `T` is a payload type or [`PlatformEvent`](super::PlatformEvent).
#[derive(Debug)]
pub struct HandleEvent<T> {
    pub payload: T,
    pub context: EventContext,
}

impl<T: 'static> Message for HandleEvent<T> {
    type Result = Result<(), HandlerError>;
}

/// An extension made of actors: each registers its [`Recipient`] for a key or a pattern. An actor whose
/// mailbox is closed fails the attempt, which is tried again by the schedule.
#[derive(Debug)]
pub struct ActorExtension {
    key: String,
    name: String,
    handlers: Vec<EventHandler>,
}

impl ActorExtension {
    pub fn new(key: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            name: name.into(),
            handlers: Vec::new(),
        }
    }

    /// Sends every event that `event_key` matches to the actor; publishers wait for its answer.
    ///
    /// # Errors
    /// When `event_key` is neither a key nor a pattern.
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

    /// As [`ActorExtension::handler`], but publishers do not wait.
    ///
    /// # Errors
    /// When `event_key` is neither a key nor a pattern.
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
