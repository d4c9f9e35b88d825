//! The address of each workspace's actor, and the notices that it has not taken yet.

mod notices;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use actix::{Actor, Addr};
use dashmap::DashMap;

pub(super) use self::notices::PendingNotices;
use crate::{
    mail::{
        Accepts, actor_of,
        workspace::{NoticesWait, Retire, WorkspaceAddress},
    },
    restarts::{Deaths, Fault, WORKSPACE_ACTOR},
};
use pointsman_domain::{event::PlatformEvent, id::WorkspaceId, timestamp::Timestamp};
use pointsman_journal::{Notice, WorkspaceAdmission};

/// A workspace: the current address of its actor, the notices that wait for it, and its part of the
/// admission. Notices go through here, never to an address captured earlier.
#[derive(Debug, Default)]
pub(super) struct Entry {
    state: Mutex<State>,
    pub(super) admission: WorkspaceAdmission,
}

#[derive(Debug, Default)]
struct State {
    address: Option<WorkspaceAddress>,
    notices: PendingNotices,
    /// A message about `notices` is on its way; there is never more than one.
    told: bool,
    deaths: Deaths,
    /// The directory has let go of this entry. A holder of it looks the workspace up again.
    retired: bool,
}

/// The directory has let go of the entry.
#[derive(Debug)]
pub(super) struct Retired;

impl Entry {
    /// The address of the actor. Where there is none, `start` starts one.
    pub(super) fn address_or(
        &self,
        start: impl FnOnce() -> WorkspaceAddress,
    ) -> Result<WorkspaceAddress, Retired> {
        let mut state = self.state();
        if state.retired {
            return Err(Retired);
        }
        Ok(state.address_or(start))
    }

    pub(super) fn active(&self) -> Option<WorkspaceAddress> {
        self.state().active().cloned()
    }

    /// Leaves the notice for the actor and wakes it. `start` starts one where there is none: what was
    /// committed must not wait for the next publish. Where `start` gives none, nothing is lost: the next
    /// actor is registered first and then reads what is durable.
    pub(super) fn notify(
        &self,
        notice: Notice,
        start: impl FnOnce() -> Option<WorkspaceAddress>,
    ) -> Result<(), Notice> {
        let mut state = self.state();
        if state.retired {
            return Err(notice);
        }
        if state.active().is_none() {
            match start() {
                Some(started) => state.register(started),
                None => return Ok(()),
            }
        }
        state.tell(|notices| notices.take_in(notice));
        Ok(())
    }

    /// Puts what is left of an event in its place, where its notice waits. Returns the actor that has to be told.
    pub(super) fn erase(&self, left: &Arc<PlatformEvent>) -> Option<WorkspaceAddress> {
        let mut state = self.state();
        state.notices.recent.erase(left);
        state.active().cloned()
    }

    /// Has the actor read its installations again, where there is one.
    pub(super) fn notify_reload(&self) {
        let mut state = self.state();
        if state.active().is_some() {
            state.tell(|notices| notices.reload = true);
        }
    }

    /// The notices left here since the last call. Only the actor calls this.
    pub(super) fn take_notices(&self) -> PendingNotices {
        let mut state = self.state();
        state.told = false;
        std::mem::take(&mut state.notices)
    }

    /// The actor with this address has died. Must not panic.
    pub(super) fn died<A: Actor>(&self, address: &Addr<A>, now: Timestamp) {
        let mut state = self.state();
        if state.is_of(address) {
            state.address = None;
        }
        state.deaths.died(Fault::Own, &WORKSPACE_ACTOR, now);
    }

    /// How long a new actor waits before it begins with its deliveries.
    pub(super) fn pause(&self, now: Timestamp) -> std::time::Duration {
        self.state().deaths.pause(now)
    }

    /// The number of events that wait, and whether a message about them is on its way.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> (usize, bool) {
        let state = self.state();
        (state.notices.recent.len(), state.told)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Only the start of an actor can panic under this lock, and it happens before the state is changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether the current actor has this address.
    fn is_of<A: Actor>(&self, address: &Addr<A>) -> bool {
        let current = self.address.as_ref();
        current.and_then(|current| actor_of(&**current)).as_ref() == Some(address)
    }

    fn active(&self) -> Option<&WorkspaceAddress> {
        self.address.as_ref().filter(|address| address.connected())
    }

    fn address_or(&mut self, start: impl FnOnce() -> WorkspaceAddress) -> WorkspaceAddress {
        if let Some(address) = self.active() {
            return address.clone();
        }
        let started = start();
        self.register(started.clone());
        started
    }

    /// A new actor reads what is durable after this, so that it needs no notices from before.
    fn register(&mut self, started: WorkspaceAddress) {
        self.address = Some(started);
        self.notices = PendingNotices::default();
        self.told = false;
    }

    fn tell(&mut self, add: impl FnOnce(&mut PendingNotices)) {
        add(&mut self.notices);
        if let (false, Some(address)) = (self.told, &self.address) {
            address.tell(NoticesWait);
            self.told = true;
        }
    }
}

/// The workspaces that have an actor, or had one that died. Locks are taken in this order: the map's, then
/// an entry's.
#[derive(Default)]
pub(super) struct Directory {
    entries: DashMap<WorkspaceId, Arc<Entry>>,
    /// Takes the journal's notices; none before there is a router to publish through.
    router: OnceLock<Box<dyn Fn(Notice) + Send + Sync>>,
}

impl Directory {
    /// From now on notices go to the router.
    pub(super) fn serve(&self, router: impl Fn(Notice) + Send + Sync + 'static) {
        self.router.get_or_init(|| Box::new(router));
    }

    /// Takes a notice of the journal for the actor that it concerns. Does not block.
    pub(super) fn notify(&self, notice: Notice) {
        if let Some(router) = self.router.get() {
            router(notice);
        }
    }

    pub(super) fn entry(&self, workspace: WorkspaceId) -> Arc<Entry> {
        self.existing(workspace)
            .unwrap_or_else(|| Arc::clone(&self.entries.entry(workspace).or_default()))
    }

    pub(super) fn existing(&self, workspace: WorkspaceId) -> Option<Arc<Entry>> {
        self.entries.get(&workspace).map(|entry| Arc::clone(&entry))
    }

    /// All entries, in the order of their workspaces.
    pub(super) fn all(&self) -> Vec<Arc<Entry>> {
        let mut all: Vec<(WorkspaceId, Arc<Entry>)> = self
            .entries
            .iter()
            .map(|entry| (*entry.key(), Arc::clone(&entry)))
            .collect();
        all.sort_unstable_by_key(|(workspace, _)| *workspace);
        all.into_iter().map(|(_, entry)| entry).collect()
    }

    /// Lets go of the workspace and tells its actor, which asks for it, to stop: what was sent to the actor
    /// before reaches it before. The actor goes on, and this returns false, where it is not the current one, where
    /// notices wait for it, or where a publish is on its way.
    pub(super) fn retire<A>(&self, workspace: WorkspaceId, address: &Addr<A>) -> bool
    where
        A: Actor,
        Addr<A>: Accepts<Retire>,
    {
        let removed = self.entries.remove_if(&workspace, |_, entry| {
            let mut state = entry.state();
            let may_go = state.is_of(address) && !state.told && entry.admission.is_idle();
            if may_go {
                state.retired = true;
                state.address = None;
                address.tell(Retire);
            }
            may_go
        });
        removed.is_some()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
