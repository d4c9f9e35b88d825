//! What the engine asks of extensions and of what their handlers return. Authors have no use for it.

use std::sync::Arc;

use pointsman_domain::{event, event_key::EventKey};
use pointsman_panics::Guarded;

use crate::{
    context::EventContext, effect::Effect, error::HandlerError, event::PlatformEvent,
    outcome::HandlerOutcome, publication::Publication,
};
pub use crate::{
    context::{ContextParts, HandlerPublish},
    effect::EffectWork,
    error::Failure,
};

/// What a publication says.
#[derive(Debug)]
pub struct PublicationParts {
    pub event_key: EventKey,
    /// JSON, an object.
    pub payload: Arc<str>,
    pub schema_version: Option<String>,
    pub actor: Option<String>,
}

/// One attempt, as its handler sees it.
pub fn context(parts: ContextParts) -> EventContext {
    EventContext::new(parts)
}

/// An event, as handlers see it.
pub const fn shown(event: Arc<event::PlatformEvent>) -> PlatformEvent {
    PlatformEvent(event)
}

/// The effect that a handler has returned, if any.
pub fn effect_of(outcome: HandlerOutcome) -> Option<Effect> {
    outcome.0
}

/// The events that are published with the effect, in their order.
pub fn publications_of(effect: &Effect) -> &[Publication] {
    &effect.publications
}

/// The writes of the effect, if it has any.
pub fn work_of(effect: Effect) -> Option<Guarded<EffectWork>> {
    effect.work
}

/// What a publication says.
pub fn publication_parts(publication: Publication) -> PublicationParts {
    let Publication {
        event_key,
        payload,
        schema_version,
        actor,
    } = publication;
    PublicationParts {
        event_key,
        payload,
        schema_version,
        actor,
    }
}

/// What an error means for the delivery.
pub const fn failure_of(error: &HandlerError) -> Failure {
    error.failure()
}
