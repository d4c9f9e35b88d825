//! How lanes read the log: from the ring while they keep up, from the database while they do not. And for which
//! handlers the publisher of an event waits.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;

use super::{
    STORAGE_PAUSE, WorkspaceActor,
    log_tail::{DueEvents, PageRange},
    readers::{Concerned, WaitingReader},
};
use crate::mail::{delivery::Events, workspace::ReadAfter};
use pointsman_domain::{
    event::PlatformEvent, handler_name::HandlerName, id::InstallationId, sync_latch::Awaited,
};

/// How soon a lane hears that it has passed events that are not due to it.
const SWEEP_AFTER: Duration = Duration::from_secs(1);

impl Handler<ReadAfter> for WorkspaceActor {
    type Result = ();

    fn handle(&mut self, read: ReadAfter, ctx: &mut Self::Context) {
        let reader = WaitingReader::new(read.incarnation, read.after, read.limit);
        self.serve(read.installation_id, reader, ctx);
    }
}

impl WorkspaceActor {
    /// Serves the waiting lanes that new events concern.
    pub(super) fn serve_waiting(&mut self, concerned: &Concerned, ctx: &mut Context<Self>) {
        let to_serve = self.readers.take_concerned(concerned, self.log.head());
        if to_serve.has_passed {
            self.sweep_soon(ctx);
        }
        for (id, reader) in to_serve.behind {
            self.serve(id, reader, ctx);
        }
    }

    /// Answers the lane, or keeps it waiting where nothing is due to it yet.
    fn serve(&mut self, id: InstallationId, reader: WaitingReader, ctx: &mut Context<Self>) {
        let Some(view) = self.children.view_of(id, reader.incarnation()) else {
            // It has died since it asked; its successor asks for itself.
            return;
        };
        if !self.loading.is_loaded() || reader.has_seen(self.log.head()) {
            return self.keep_waiting(id, reader, ctx);
        }
        let after = reader.looked_through();
        let Some(found) = self.log.recent_due(after, &view.spans, reader.limit()) else {
            return self.read_page(id, reader, ctx);
        };
        if found.due.is_empty() {
            let mut reader = reader;
            reader.look_through(found.through);
            self.keep_waiting(id, reader, ctx);
        } else {
            self.give(id, found);
        }
    }

    fn keep_waiting(&mut self, id: InstallationId, reader: WaitingReader, ctx: &mut Context<Self>) {
        if self.readers.keep(id, reader) {
            self.sweep_soon(ctx);
        }
    }

    fn sweep_soon(&mut self, ctx: &mut Context<Self>) {
        if self.readers.start_sweep() {
            ctx.run_later(SWEEP_AFTER, |actor, _| actor.tell_passed());
        }
    }

    /// Tells waiting lanes how far they have come past events that are not due to them, so that their
    /// cursors can follow.
    fn tell_passed(&mut self) {
        for (id, through) in self.readers.sweep() {
            let due = Vec::new();
            self.give(id, DueEvents { through, due });
        }
    }

    fn give(&mut self, id: InstallationId, DueEvents { through, due }: DueEvents) {
        self.children.give(id, Events { through, due });
    }

    fn read_page(&self, id: InstallationId, reader: WaitingReader, ctx: &mut Context<Self>) {
        let (journal, workspace) = (self.shared.journal.clone(), self.id);
        let page = self.log.page_after(reader.looked_through());
        // Interleaves with messages; there is at most one read of each lane at a time.
        ctx.spawn(
            async move {
                let PageRange {
                    after,
                    through,
                    limit,
                } = page;
                journal.page(workspace, after, through, limit).await
            }
            .into_actor(self)
            .map(move |events, actor, ctx| match events {
                Ok(events) => actor.take_page(id, reader, page, &events, ctx),
                Err(error) => {
                    log::warn!(workspace:% = actor.id, error:%; "the log cannot be read yet");
                    ctx.run_later(STORAGE_PAUSE, move |actor, ctx| actor.serve(id, reader, ctx));
                }
            }),
        );
    }

    fn take_page(
        &mut self,
        id: InstallationId,
        mut reader: WaitingReader,
        page: PageRange,
        events: &[Arc<PlatformEvent>],
        ctx: &mut Context<Self>,
    ) {
        let Some(view) = self.children.view_of(id, reader.incarnation()) else {
            return;
        };
        let found = self.log.page_due(page, events, &view.spans, reader.limit());
        if found.due.is_empty() {
            reader.look_through(found.through);
            self.serve(id, reader, ctx);
        } else {
            self.give(id, found);
        }
    }

    /// Tells publishers for which handlers they wait, now that the installations are known.
    pub(super) fn decide_latches(&mut self) {
        for event in self.loading.take_undecided() {
            if let Some(latch) = &event.latch {
                latch.decide(self.awaited_by(&event));
            }
        }
    }

    /// The synchronous handlers of the in-process installations to which the event is due and whose lanes keep up.
    fn awaited_by(&self, event: &PlatformEvent) -> Vec<Awaited> {
        if self.life.is_ending() {
            return Vec::new();
        }
        let looked_through = |id| self.readers.looked_through(id);
        let extensions = &self.shared.settings.in_process.extensions;
        let mut awaited = Vec::new();
        for (id, view) in self.children.awaited(event, looked_through) {
            let Some(extension) = extensions.get(&view.installation.key) else {
                continue;
            };
            let handlers = extension.handlers_of(&event.event_key);
            let synchronous = handlers.filter(|handler| !handler.is_async());
            awaited.extend(synchronous.map(|handler| (id, HandlerName::intern(handler.name()))));
        }
        awaited
    }
}
