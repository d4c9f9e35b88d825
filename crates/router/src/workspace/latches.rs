//! For whom the publisher of an event waits: the synchronous handlers of the in-process installations to which
//! the event is due and whose lanes keep up.

use std::sync::Arc;

use super::{WorkspaceActor, installed::Installed};
use crate::ring::Ring;
use pointsman_domain::{
    event::PlatformEvent, handler_name::HandlerName, id::InstallationId, span::is_due, sync_latch::Awaited,
};

impl WorkspaceActor {
    /// Takes the events that somebody waits for.
    pub(super) fn take_latches(&mut self, recent: &Ring) {
        let awaited = recent.iter().filter(|event| event.latch.is_some());
        self.undecided.extend(awaited.cloned());
        if self.loaded {
            self.decide_latches();
        }
    }

    /// Says for whom their publishers wait, now that the installations are known.
    pub(super) fn decide_latches(&mut self) {
        for event in std::mem::take(&mut self.undecided) {
            if let Some(latch) = &event.latch {
                latch.decide(self.awaited_by(&event));
            }
        }
    }

    fn awaited_by(&self, event: &Arc<PlatformEvent>) -> Vec<Awaited> {
        if self.draining || self.retired {
            return Vec::new();
        }
        self.installed
            .iter()
            .filter(|(id, installed)| {
                let looked_through = self.waiting.get(id).map(|waiting| waiting.looked_through());
                installed.view.is_in_process()
                    && is_due(&installed.view.spans, event.seq, &event.event_key)
                    && installed.keeps_up(event.seq, looked_through)
            })
            .flat_map(|(id, installed)| self.sync_handlers(*id, installed, event))
            .collect()
    }

    fn sync_handlers(
        &self,
        id: InstallationId,
        installed: &Installed,
        event: &PlatformEvent,
    ) -> impl Iterator<Item = Awaited> {
        let extensions = &self.shared.settings.in_process.extensions;
        let registered = extensions.get(&installed.view.installation.key);
        registered
            .into_iter()
            .flat_map(|extension| extension.handlers_of(&event.event_key))
            .filter(|handler| !handler.is_async())
            .map(move |handler| (id, HandlerName::intern(handler.name())))
    }
}
