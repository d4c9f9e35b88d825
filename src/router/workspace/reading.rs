//! How lanes read the log: from the ring while they keep up, from the database while they do not.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;

use super::{Concerned, WorkspaceActor, installed::Child, messages::ReadAfter};
use crate::router::delivery::Events;
use pointsman_domain::{
    event::PlatformEvent,
    id::InstallationId,
    seq::Seq,
    span::{Span, is_due},
};

/// How soon a lane hears that it has passed events that are not due to it.
const SWEEP_AFTER: Duration = Duration::from_secs(1);

/// Events of the first page from the database, and of a page whose events are small.
pub(super) const FIRST_PAGE_EVENTS: usize = 32;
const PAGE_EVENTS: usize = 256;
/// What a page may weigh, judged by the page before.
const PAGE_BYTES: usize = 1024 * 1024;

/// A lane that has read everything.
pub(super) struct Waiting {
    /// Which of its installation's actors asked.
    incarnation: u64,
    /// What the lane asked after.
    asked_after: Seq,
    /// How far this actor has looked on its behalf and found nothing due.
    looked_through: Seq,
    limit: usize,
}

impl Waiting {
    pub(super) const fn looked_through(&self) -> Seq {
        self.looked_through
    }

    pub(super) fn has_seen(&self, head: Seq) -> bool {
        self.looked_through >= head
    }

    fn has_passed(&self) -> bool {
        self.looked_through > self.asked_after
    }

    /// How far nothing is due to a lane that is done with everything up to `done`.
    pub(super) fn looked_through_from(&self, done: Seq) -> Seq {
        if self.asked_after <= done {
            self.looked_through.max(done)
        } else {
            done
        }
    }
}

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
                        ctx.run_later(super::LOAD_PAUSE, move |actor, ctx| actor.serve(id, waiting, ctx));
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

/// How many events the next page takes, so that it weighs about as much as a page may.
fn next_page(events: &[Arc<PlatformEvent>]) -> usize {
    let bytes: usize = events.iter().map(|event| event.payload.len() + 256).sum();
    match bytes.checked_div(events.len()) {
        Some(each) if each > 0 => (PAGE_BYTES / each).clamp(4, PAGE_EVENTS),
        _ => PAGE_EVENTS,
    }
}
