//! The event that a handler gets.

use std::{fmt, ops::Deref, sync::Arc};

use pointsman_domain::event;

/// A recorded event. It dereferences to the record in the log: `id`, `workspace_id`, `seq` (the position in the log of
/// the workspace, from 1), `event_key`, `schema_version`, `actor`, `payload` (the text of a JSON object, as it was
/// sent), `occurred_at`, `traceparent` and `cause`. Cheap to clone. Its `Debug` form leaves out the payload. Two are
/// equal where they are the same event of the same workspace: a recorded event is never changed.
///
/// A handler that takes it instead of a payload type of its own gets every event that its pattern matches, whatever the
/// payload is.
#[derive(Clone)]
pub struct PlatformEvent(pub(crate) Arc<event::PlatformEvent>);

impl Deref for PlatformEvent {
    type Target = event::PlatformEvent;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl PartialEq for PlatformEvent {
    fn eq(&self, other: &Self) -> bool {
        (self.workspace_id, self.id) == (other.workspace_id, other.id)
    }
}

impl Eq for PlatformEvent {}

impl fmt::Debug for PlatformEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The payload may hold private data.
        f.debug_struct("PlatformEvent")
            .field("id", &self.id)
            .field("event_key", &self.event_key)
            .field("workspace_id", &self.workspace_id)
            .field("seq", &self.seq)
            .finish_non_exhaustive()
    }
}
