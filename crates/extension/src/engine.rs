//! What the engine needs of extensions and of the values that their handlers return. Authors do not need it.

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

/// The parts of a [`Publication`].
#[derive(Debug)]
pub struct PublicationParts {
    /// Its event key.
    pub event_key: EventKey,
    /// The text of a JSON object.
    pub payload: Arc<str>,
    /// The version of the payload's schema, at most 32 bytes.
    pub schema_version: Option<String>,
    /// Who publishes, at most 255 bytes. `None`: the extension.
    pub actor: Option<String>,
}

/// The context of one attempt.
pub fn context(parts: ContextParts) -> EventContext {
    EventContext::new(parts)
}

/// The event that handlers get.
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

/// Takes a publication apart.
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

/// What the error means for the delivery.
pub const fn failure_of(error: &HandlerError) -> Failure {
    error.failure()
}
