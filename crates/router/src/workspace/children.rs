//! The installations of a workspace and their delivery actors: which are started, what they are told, which have died.

use std::{
    collections::{BTreeMap, HashSet, btree_map::Entry},
    sync::Arc,
};

use actix::prelude::*;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, join_all},
};
use tokio::sync::{oneshot, watch};

use super::{
    child::RunningChild,
    installed::{Circumstances, Installed, Need},
};
use crate::{
    incarnation::{Incarnation, Incarnations},
    mail::{
        Accepts,
        delivery::{DeliveryAddress, DeliveryRecipient, Drain, EraseDelivery, Events, RetriesWait},
        origin::Origin,
        workspace::{Found, Rest, WorkspaceAddress},
    },
    restarts::{Fault, Next},
    ring::Ring,
};
use pointsman_domain::{
    event::PlatformEvent, id::InstallationId, installation::InstallationView, lane::Suspicion, seq::Seq,
    timestamp::Timestamp,
};

/// See the [module](self).
pub(super) struct Children {
    installed: BTreeMap<InstallationId, Installed>,
    incarnations: Incarnations,
    /// The delivery actors stop when this is dropped.
    liveness: watch::Sender<()>,
    /// The workspace is deleted: no actor is started any more. Completes when none is left.
    ended: Option<Ended>,
}

/// Completes when no delivery actor is left.
pub(super) type Ended = Shared<BoxFuture<'static, ()>>;

/// A view that was taken, and the one that it takes the place of.
pub(super) struct TakenView {
    pub(super) before: Option<Arc<InstallationView>>,
    pub(super) now: Arc<InstallationView>,
}

/// The installations to which one of some events is due.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct DueStarts {
    /// Those that need an actor now.
    pub(super) now: Vec<InstallationId>,
    /// When the first of the others needs one: what waits for it may expire then.
    pub(super) held_until: Option<Timestamp>,
}

/// What follows the death of a delivery actor.
pub(super) struct Death {
    pub(super) next: Next,
    pub(super) in_a_row: u32,
    /// The revision of the installation that the actor served.
    pub(super) revision: i64,
}

impl Default for Children {
    fn default() -> Self {
        Self {
            installed: BTreeMap::new(),
            incarnations: Incarnations::default(),
            liveness: watch::channel(()).0,
            ended: None,
        }
    }
}

impl Children {
    /// Keeps the view, unless a newer one is known or the workspace is deleted.
    pub(super) fn take_view(&mut self, view: InstallationView) -> Option<TakenView> {
        if self.are_ended() {
            return None;
        }
        let now = Arc::new(view);
        let before = match self.installed.entry(now.id()) {
            Entry::Vacant(vacant) => {
                vacant.insert(Installed::new(Arc::clone(&now)));
                None
            }
            Entry::Occupied(occupied) => {
                let installed = occupied.into_mut();
                if now.installation.revision < installed.view().installation.revision {
                    return None;
                }
                Some(installed.replace_view(Arc::clone(&now)))
            }
        };
        Some(TakenView { before, now })
    }

    /// Forgets an installation that is closed; its last view.
    pub(super) fn remove(&mut self, id: InstallationId) -> Option<Arc<InstallationView>> {
        let closed = self.installed.remove(&id)?;
        Some(Arc::clone(closed.view()))
    }

    pub(super) fn ids(&self) -> Vec<InstallationId> {
        self.installed.keys().copied().collect()
    }

    /// The view of the installation, where that actor of it runs.
    pub(super) fn view_of(
        &self,
        id: InstallationId,
        incarnation: Incarnation,
    ) -> Option<&Arc<InstallationView>> {
        let installed = self.installed.get(&id)?;
        (installed.incarnation() == Some(incarnation)).then(|| installed.view())
    }

    /// Whether the installation needs an actor that it does not have.
    pub(super) fn need(&self, id: InstallationId, ring: &Ring, at: Circumstances) -> Need {
        let installed = self.installed.get(&id);
        installed.map_or(Need::None, |installed| installed.need(ring, at))
    }

    /// Which installations without an actor need one for `recent`, which are all events after `before` and concern
    /// nobody but `concerned`. The others have come as far as the head.
    pub(super) fn due_starts(
        &mut self,
        before: Seq,
        recent: &Ring,
        concerned: &HashSet<InstallationId>,
        at: Circumstances,
    ) -> DueStarts {
        let mut starts = DueStarts::default();
        for (id, installed) in &mut self.installed {
            if !installed.is_idle() {
                continue;
            }
            if !concerned.contains(id) || !installed.has_due(recent) {
                installed.note_nothing_due(before, at.head);
                continue;
            }
            match installed.held_until(at.max_hold) {
                Some(until) if until > at.now => {
                    let first = starts.held_until.map_or(until, |first| first.min(until));
                    starts.held_until = Some(first);
                }
                Some(_) | None => starts.now.push(*id),
            }
        }
        starts
    }

    /// Starts an actor of the installation by `start`, unless it has one or is marked as failed. Whether it did.
    pub(super) fn start(
        &mut self,
        id: InstallationId,
        parent: impl FnOnce() -> WorkspaceAddress,
        start: impl FnOnce(Arc<InstallationView>, Origin) -> DeliveryAddress,
    ) -> bool {
        let Some(installed) = self.installed.get_mut(&id).filter(|one| one.may_start()) else {
            return false;
        };
        let incarnation = self.incarnations.allocate();
        let origin = Origin {
            incarnation,
            parent: parent(),
            liveness: self.liveness.subscribe(),
            suspicion: installed.suspicion().clone(),
        };
        let address = start(Arc::clone(installed.view()), origin);
        installed.started(RunningChild::new(address, incarnation));
        true
    }

    /// Sends the message to the actor; false where there is none.
    pub(super) fn tell<M: Message>(&mut self, id: InstallationId, message: M) -> bool
    where
        dyn DeliveryRecipient: Accepts<M>,
    {
        let child = self.installed.get_mut(&id).and_then(Installed::running);
        child.map(|child| child.tell(message)).is_some()
    }

    /// Gives the actor, where there is one, a stretch of the log.
    pub(super) fn give(&mut self, id: InstallationId, events: Events) {
        if let Some(child) = self.installed.get_mut(&id).and_then(Installed::running) {
            child.give(events);
        }
    }

    pub(super) fn note_retry(&mut self, id: InstallationId, at: Timestamp) {
        if let Some(installed) = self.installed.get_mut(&id) {
            installed.note_retry(at);
        }
    }

    /// Has the actor, where there is one, look at the retry table. A replay may have been put there without a notice,
    /// by a change whose connection was lost.
    pub(super) fn look_at_retries(&mut self, id: InstallationId, now: Timestamp) {
        self.tell(id, RetriesWait { at: now });
    }

    /// Tells all actors to drain. Each receiver ends when its actor has drained.
    pub(super) fn drain(&mut self) -> Vec<oneshot::Receiver<()>> {
        let children = self.installed.values_mut().filter_map(Installed::running);
        children
            .map(|child| {
                let (reply, drained) = oneshot::channel();
                child.tell(Drain { reply });
                drained
            })
            .collect()
    }

    /// Tells all actors that the payload of an event was erased. Each receiver ends when its actor holds what is left.
    pub(super) fn erase(&mut self, left: &Arc<PlatformEvent>) -> Vec<oneshot::Receiver<()>> {
        let children = self.installed.values_mut().filter_map(Installed::running);
        children
            .map(|child| {
                let (reply, erased) = oneshot::channel();
                child.tell(EraseDelivery {
                    left: Arc::clone(left),
                    _reply: reply,
                });
                erased
            })
            .collect()
    }

    /// Ends all actors with what they have in flight, and forgets the installations: the workspace is deleted.
    pub(super) fn end(&mut self) -> Ended {
        if let Some(ended) = &self.ended {
            return ended.clone();
        }
        // An actor that ends drops its reply.
        let drained = self.drain();
        let ended = join_all(drained).map(drop).boxed().shared();
        *self = Self {
            ended: Some(ended.clone()),
            ..Self::default()
        };
        ended
    }

    /// Whether the workspace is deleted.
    pub(super) const fn are_ended(&self) -> bool {
        self.ended.is_some()
    }

    pub(super) fn find(&self, id: InstallationId) -> Found {
        let installed = self.installed.get(&id);
        installed.map_or(Found::Nothing, Installed::found)
    }

    /// The actor is attached to the journal; false where it does not run any more.
    pub(super) fn attached(&mut self, id: InstallationId, incarnation: Incarnation) -> bool {
        let child = self.running(id, incarnation).and_then(Installed::running);
        child.map(RunningChild::attach).is_some()
    }

    /// The actor has ended; nothing where it was replaced before.
    pub(super) fn stopped(
        &mut self,
        id: InstallationId,
        incarnation: Incarnation,
        suspicion: Option<Suspicion>,
    ) -> Option<RunningChild> {
        self.running(id, incarnation)?.stopped(suspicion)
    }

    /// The actor that has ended had nothing to do.
    pub(super) fn note_rest(&mut self, id: InstallationId, rest: Rest) {
        if let Some(installed) = self.installed.get_mut(&id) {
            installed.note_rest(rest);
        }
    }

    /// The actor that has ended has died.
    pub(super) fn died(&mut self, id: InstallationId, fault: Fault, now: Timestamp) -> Option<Death> {
        let installed = self.installed.get_mut(&id)?;
        let next = installed.died(fault, now);
        Some(Death {
            next,
            in_a_row: installed.deaths_in_a_row(),
            revision: installed.view().installation.revision,
        })
    }

    /// Marks the installation as failed, where it has no actor.
    pub(super) fn fail(&mut self, id: InstallationId) {
        if let Some(installed) = self.installed.get_mut(&id) {
            installed.fail();
        }
    }

    /// Takes the mark of a failed installation away; false where there is none.
    pub(super) fn forgive(&mut self, id: InstallationId) -> bool {
        self.installed.get_mut(&id).is_some_and(Installed::forgive)
    }

    /// Whether no actor has yet to be attached to the journal.
    pub(super) fn are_all_attached(&self) -> bool {
        !self.installed.values().any(Installed::is_attaching)
    }

    /// When an actor has to be started, if nothing happens before.
    pub(super) fn next_start(&self, at: Circumstances) -> Option<Timestamp> {
        let installed = self.installed.values();
        installed.filter_map(|one| one.next_start(at)).min()
    }

    /// Whether no actor lives, and none is to be started before `soon`.
    pub(super) fn are_quiet_until(&self, soon: Timestamp, at: Circumstances) -> bool {
        let mut installed = self.installed.values();
        installed.all(|one| one.is_quiet_until(soon, at))
    }

    /// Those without an actor whose durable cursors stand before the head.
    pub(super) fn lagging(&self, at: Circumstances) -> Vec<InstallationId> {
        let lagging = self.installed.iter().filter(|(_, one)| one.lags(at));
        lagging.map(|(id, _)| *id).collect()
    }

    /// Whether no lane will ask for events of the ring. `has_seen_all` says so of a lane that waits.
    pub(super) fn are_past_ring(&self, has_seen_all: impl Fn(InstallationId) -> bool) -> bool {
        let mut installed = self.installed.iter();
        installed.all(|(id, one)| one.is_past_ring(|| has_seen_all(*id)))
    }

    /// The installations in this process whose handlers the publisher of the event may wait for. `looked_through` says
    /// how far the log was looked through on behalf of a lane that waits.
    pub(super) fn awaited<'a>(
        &'a self,
        event: &'a PlatformEvent,
        looked_through: impl Fn(InstallationId) -> Option<Seq> + 'a,
    ) -> impl Iterator<Item = (InstallationId, &'a InstallationView)> {
        let installed = self.installed.iter();
        installed
            .filter(move |(id, one)| one.is_awaited(event, looked_through(**id)))
            .map(|(id, one)| (*id, one.view().as_ref()))
    }

    /// The installation, if that actor of it runs.
    fn running(&mut self, id: InstallationId, incarnation: Incarnation) -> Option<&mut Installed> {
        let installed = self.installed.get_mut(&id)?;
        (installed.incarnation() == Some(incarnation)).then_some(installed)
    }
}

#[cfg(test)]
mod tests;
