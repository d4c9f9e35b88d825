//! The event as a handler sees it.

use std::{fmt, ops::Deref, sync::Arc};

use pointsman_domain::event;

/// A recorded event with everything that is kept of it. Cheap to clone. A handler that takes this instead of a
/// payload type of its own gets every event that its pattern matches.
#[derive(Clone)]
pub struct PlatformEvent(pub(crate) Arc<event::PlatformEvent>);

impl Deref for PlatformEvent {
    type Target = event::PlatformEvent;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl fmt::Debug for PlatformEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The payload may hold what is nobody's business.
        f.debug_struct("PlatformEvent")
            .field("id", &self.id)
            .field("event_key", &self.event_key)
            .field("workspace_id", &self.workspace_id)
            .field("seq", &self.seq)
            .finish_non_exhaustive()
    }
}
