//! How lanes read the log: from the ring while they keep up, from the database while they do not.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;

use super::{
    WorkspaceActor,
    installed::Child,
    waiting::{Concerned, LOAD_PAUSE, Waiting, next_page},
};
use crate::mail::{delivery::Events, workspace::ReadAfter};
use pointsman_domain::{
    event::PlatformEvent,
    id::InstallationId,
    seq::Seq,
    span::{Span, is_due},
};

/// How soon a lane hears that it has passed events that are not due to it.
const SWEEP_AFTER: Duration = Duration::from_secs(1);

impl Handler<ReadAfter> for WorkspaceActor {
    type Result = ();

    fn handle(&mut self, read: ReadAfter, ctx: &mut Self::Context) {
        let waiting = Waiting {
            incarnation: read.incarnation,
            asked_after: read.after,
            looked_through: read.after,
            limit: read.limit,
        };
        self.serve(read.installation_id, waiting, ctx);
    }
}

impl WorkspaceActor {
    /// Serves the lanes that wait for news of the log and are concerned.
    pub(super) fn serve_waiting(&mut self, concerned: &Concerned, ctx: &mut Context<Self>) {
        let mut behind = Vec::new();
        let mut passed = false;
        for (id, waiting) in &mut self.waiting {
            match concerned {
                _ if waiting.looked_through >= self.head => {}
                Concerned::Since {
                    before,
                    installations,
                } if waiting.looked_through >= *before && !installations.contains(id) => {
                    waiting.looked_through = self.head;
                    passed = true;
                }
                _ => behind.push(*id),
            }
        }
        if passed {
            self.sweep_soon(ctx);
        }
        for id in behind {
            if let Some(waiting) = self.waiting.remove(&id) {
                self.serve(id, waiting, ctx);
            }
        }
    }

    /// Answers the lane, or keeps it waiting where nothing is due to it yet.
    fn serve(&mut self, id: InstallationId, mut waiting: Waiting, ctx: &mut Context<Self>) {
        let Some(installed) = self.installed.get(&id) else {
            return;
        };
        if installed.incarnation() != Some(waiting.incarnation) {
            // It has died since it asked; its successor asks for itself.
            return;
        }
        if !self.loaded || waiting.looked_through >= self.head {
            return self.keep_waiting(id, waiting, ctx);
        }
        let Some(recent) = self.ring.after(waiting.looked_through) else {
            return self.read_page(id, waiting, ctx);
        };
        let (through, due) = select_due(
            recent,
            &installed.view.spans,
            waiting.looked_through,
            waiting.limit,
        );
        if due.is_empty() {
            waiting.looked_through = through;
            self.keep_waiting(id, waiting, ctx);
        } else {
            self.tell_events(id, through, due);
        }
    }

    fn keep_waiting(&mut self, id: InstallationId, waiting: Waiting, ctx: &mut Context<Self>) {
        if waiting.has_passed() {
            self.sweep_soon(ctx);
        }
        self.waiting.insert(id, waiting);
    }

    fn sweep_soon(&mut self, ctx: &mut Context<Self>) {
        if !std::mem::replace(&mut self.sweeping, true) {
            ctx.run_later(SWEEP_AFTER, |actor, _| actor.tell_passed());
        }
    }

    fn tell_events(&mut self, id: InstallationId, through: Seq, due: Vec<Arc<PlatformEvent>>) {
        if let Some(installed) = self.installed.get_mut(&id) {
            if let Child::Running(child) = &mut installed.child {
                child.given_through = child.given_through.max(through);
            }
            installed.tell(Events { through, due });
        }
    }

    fn read_page(&self, id: InstallationId, waiting: Waiting, ctx: &mut Context<Self>) {
        let journal = self.shared.journal.clone();
        let (workspace, after, through, limit) =
            (self.id, waiting.looked_through, self.head, self.page_events);
        // Interleaves with messages; there is at most one read of each lane at a time.
        ctx.spawn(
            async move { journal.page(workspace, after, through, limit).await }
                .into_actor(self)
                .map(move |page, actor, ctx| match page {
                    Ok(events) => actor.take_page(id, waiting, (through, limit), &events, ctx),
                    Err(error) => {
                        log::warn!(workspace:% = actor.id, error:%; "the log cannot be read yet");
                        ctx.run_later(LOAD_PAUSE, move |actor, ctx| actor.serve(id, waiting, ctx));
                    }
                }),
        );
    }

    fn take_page(
        &mut self,
        id: InstallationId,
        mut waiting: Waiting,
        (asked_through, asked_events): (Seq, usize),
        events: &[Arc<PlatformEvent>],
        ctx: &mut Context<Self>,
    ) {
        let Some(installed) = self.installed.get(&id) else {
            return;
        };
        if installed.incarnation() != Some(waiting.incarnation) {
            return;
        }
        // What is in the ring as well is the same, but for its publisher who may be waiting.
        let events: Vec<Arc<PlatformEvent>> = events
            .iter()
            .map(|event| self.ring.get(event.seq).unwrap_or(event).clone())
            .collect();
        let (mut through, due) = select_due(
            events.iter(),
            &installed.view.spans,
            waiting.looked_through,
            waiting.limit,
        );
        if events.len() < asked_events && due.len() < waiting.limit {
            // The page ended because the log did: gaps left by retention end with it.
            through = asked_through;
        }
        self.page_events = next_page(&events);
        if due.is_empty() {
            waiting.looked_through = through;
            self.serve(id, waiting, ctx);
        } else {
            self.tell_events(id, through, due);
        }
    }

    /// Tells waiting lanes how far they have come past events that are not due to them, so that their
    /// cursors can follow.
    fn tell_passed(&mut self) {
        self.sweeping = false;
        let passed: Vec<(InstallationId, Seq)> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| waiting.has_passed())
            .map(|(id, waiting)| (*id, waiting.looked_through))
            .collect();
        for (id, through) in passed {
            self.waiting.remove(&id);
            self.tell_events(id, through, Vec::new());
        }
    }
}

/// The due among `events`, at most `limit`, and how far they were looked at.
fn select_due<'a>(
    events: impl Iterator<Item = &'a Arc<PlatformEvent>>,
    spans: &[Span],
    after: Seq,
    limit: usize,
) -> (Seq, Vec<Arc<PlatformEvent>>) {
    let mut through = after;
    let mut due = Vec::new();
    for event in events {
        if is_due(spans, event.seq, &event.event_key) {
            if due.len() == limit {
                break;
            }
            due.push(Arc::clone(event));
        }
        through = event.seq;
    }
    (through, due)
}
