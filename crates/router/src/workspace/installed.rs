//! What a WorkspaceActor knows of an installation, and whether it needs an actor.

use std::{sync::Arc, time::Duration};

use super::{
    child::{Child, RunningChild},
    progress::Progress,
};
use crate::{
    incarnation::Incarnation,
    mail::workspace::{Found, Rest},
    restarts::{DELIVERY_ACTOR, Deaths, Fault, Next},
    ring::Ring,
};
use pointsman_domain::{
    event::PlatformEvent, installation::InstallationView, lane::Suspicion, seq::Seq, span::is_due,
    timestamp::Timestamp,
};

/// A lane that has so many events to go, due or not, may still keep up.
const NEARLY_THERE: i64 = 256;

/// An installation and, when it has something to do, its actor.
pub(super) struct Installed {
    view: Arc<InstallationView>,
    child: Child,
    deaths: Deaths,
    /// What the last actor that panicked left to its successors.
    suspicion: Suspicion,
    progress: Progress,
}

/// What the decision to start an actor depends on besides the installation.
#[derive(Clone, Copy)]
pub(super) struct Circumstances {
    pub(super) now: Timestamp,
    pub(super) head: Seq,
    pub(super) max_hold: Duration,
}

/// Whether an installation needs an actor that it does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Now,
    /// At that time, if nothing happens before.
    At(Timestamp),
    None,
}

impl Installed {
    pub(super) fn new(view: Arc<InstallationView>) -> Self {
        let mut progress = Progress::default();
        progress.note_view(&view);
        Self {
            view,
            child: Child::Idle,
            deaths: Deaths::default(),
            suspicion: Suspicion::default(),
            progress,
        }
    }

    pub(super) const fn view(&self) -> &Arc<InstallationView> {
        &self.view
    }

    pub(super) const fn suspicion(&self) -> &Suspicion {
        &self.suspicion
    }

    /// Takes the new view and returns the old one.
    pub(super) fn replace_view(&mut self, view: Arc<InstallationView>) -> Arc<InstallationView> {
        self.progress.note_view(&view);
        std::mem::replace(&mut self.view, view)
    }

    pub(super) fn note_retry(&mut self, at: Timestamp) {
        self.progress.note_retry(at);
    }

    /// See [`Progress::note_nothing_due`].
    pub(super) fn note_nothing_due(&mut self, known: Seq, head: Seq) {
        self.progress.note_nothing_due(known, head);
    }

    /// Its actor has stopped for want of work. Nothing was in flight: the events that it was suspected of have been
    /// dealt with.
    pub(super) fn note_rest(&mut self, rest: Rest) {
        self.suspicion = Suspicion::default();
        self.progress.note_rest(rest);
    }

    pub(super) const fn is_idle(&self) -> bool {
        matches!(self.child, Child::Idle)
    }

    /// Whether an actor may be started: there is none, and the installation is not marked as failed.
    pub(super) const fn may_start(&self) -> bool {
        matches!(self.child, Child::Idle | Child::Restarting)
    }

    pub(super) fn started(&mut self, child: RunningChild) {
        self.child = Child::Running(child);
    }

    pub(super) fn running(&mut self) -> Option<&mut RunningChild> {
        match &mut self.child {
            Child::Running(child) => Some(child),
            _ => None,
        }
    }

    /// The actor that runs.
    pub(super) const fn incarnation(&self) -> Option<Incarnation> {
        match &self.child {
            Child::Running(child) => Some(child.incarnation()),
            _ => None,
        }
    }

    pub(super) fn found(&self) -> Found {
        match &self.child {
            Child::Running(child) => Found::Actor(child.address()),
            Child::Failed => Found::Failed,
            Child::Idle | Child::Restarting => Found::Nothing,
        }
    }

    /// The actor that ran, which has ended.
    pub(super) fn stopped(&mut self, suspicion: Option<Suspicion>) -> Option<RunningChild> {
        if let Some(suspicion) = suspicion {
            self.suspicion = suspicion;
        }
        match std::mem::replace(&mut self.child, Child::Idle) {
            Child::Running(child) => Some(child),
            _ => None,
        }
    }

    /// Its actor has died. Counts the death; one over the limit makes the installation failed.
    pub(super) fn died(&mut self, fault: Fault, now: Timestamp) -> Next {
        let next = self.deaths.died(fault, &DELIVERY_ACTOR, now);
        self.child = match next {
            Next::Replace { .. } => Child::Restarting,
            Next::GiveUp => Child::Failed,
        };
        next
    }

    pub(super) fn deaths_in_a_row(&self) -> u32 {
        self.deaths.in_a_row()
    }

    /// Marks an installation without an actor as failed.
    pub(super) fn fail(&mut self) {
        if self.is_idle() {
            self.child = Child::Failed;
        }
    }

    /// Takes the mark of a failed installation away and forgets the deaths; false where there is no mark.
    pub(super) fn forgive(&mut self) -> bool {
        let is_failed = matches!(self.child, Child::Failed);
        if is_failed {
            self.child = Child::Idle;
            self.deaths = Deaths::default();
        }
        is_failed
    }

    /// Whether it has an actor that is not attached to the journal yet.
    pub(super) const fn is_attaching(&self) -> bool {
        matches!(&self.child, Child::Running(child) if !child.is_attached())
    }

    /// Whether it needs no actor before `soon`, nor has one.
    pub(super) fn is_quiet_until(&self, soon: Timestamp, at: Circumstances) -> bool {
        let is_quiet = matches!(self.child, Child::Idle | Child::Failed);
        is_quiet && self.next_start(at).is_none_or(|start| start > soon)
    }

    /// Whether no lane of it will ask for events of the ring. `has_seen_all` says so of a lane that waits.
    pub(super) fn is_past_ring(&self, has_seen_all: impl FnOnce() -> bool) -> bool {
        match self.child {
            Child::Running(_) => has_seen_all(),
            Child::Restarting => false,
            Child::Idle | Child::Failed => true,
        }
    }

    /// Whether it needs an actor. `ring` tells whether anything was due of late.
    pub(super) fn need(&self, ring: &Ring, at: Circumstances) -> Need {
        if !self.is_idle() {
            Need::None
        } else if self.has_work(ring, at) {
            Need::Now
        } else {
            self.next_start(at).map_or(Need::None, Need::At)
        }
    }

    /// Whether an actor would have something to do.
    fn has_work(&self, ring: &Ring, at: Circumstances) -> bool {
        if self.view.installation.uninstalled_at.is_some() {
            return true;
        }
        if let Some(until) = self.held_until(at.max_hold) {
            return self.progress.has_any(at.head) && until <= at.now;
        }
        self.progress.has_retry_by(at.now)
            || (self.progress.done() < at.head && self.may_have_due(ring, at.head))
            || self.progress.lags_far(at.head)
    }

    fn may_have_due(&self, ring: &Ring, head: Seq) -> bool {
        !ring.covers(self.progress.done(), head) || self.has_due(ring)
    }

    /// Whether one of these events is due and not done.
    pub(super) fn has_due(&self, recent: &Ring) -> bool {
        let done = self.progress.done();
        recent.iter().any(|event| event.seq > done && self.is_due(event))
    }

    fn is_due(&self, event: &PlatformEvent) -> bool {
        is_due(&self.view.spans, event.seq, &event.event_key)
    }

    /// Whether it has no actor and its durable cursor stands before the head, so that the waker would find it.
    pub(super) fn lags(&self, at: Circumstances) -> bool {
        self.is_idle()
            && self.progress.lags(at.head)
            && self.held_until(at.max_hold).is_none_or(|until| until <= at.now)
    }

    /// While the installation is paused or disabled: when the first of what waits may expire.
    pub(super) fn held_until(&self, max_hold: Duration) -> Option<Timestamp> {
        let installation = &self.view.installation;
        let since = installation.held_since.unwrap_or(Timestamp::MAX);
        (self.view.is_held() && installation.uninstalled_at.is_none()).then(|| since + max_hold)
    }

    /// When an actor has to be started for it, if nothing happens before.
    pub(super) fn next_start(&self, at: Circumstances) -> Option<Timestamp> {
        if !self.is_idle() {
            return None;
        }
        match self.held_until(at.max_hold) {
            Some(until) => self.progress.has_any(at.head).then_some(until),
            None => self.progress.next_retry_at(),
        }
    }

    /// Whether the event is due to handlers in this process, and an actor starts on it at once, as far as can be seen
    /// from here. `looked_through` is how far the log was looked through on behalf of a lane that waits.
    pub(super) fn is_awaited(&self, event: &PlatformEvent, looked_through: Option<Seq>) -> bool {
        self.view.is_in_process() && self.is_due(event) && self.keeps_up(event.seq, looked_through)
    }

    fn keeps_up(&self, seq: Seq, looked_through: Option<Seq>) -> bool {
        let done = self.progress.done();
        let so_far = match &self.child {
            Child::Running(child) => done.max(child.given_through()),
            Child::Idle => done,
            Child::Restarting | Child::Failed => return false,
        };
        let so_far = looked_through.map_or(so_far, |looked| so_far.max(looked));
        let is_held = self.view.is_held() || self.view.installation.uninstalled_at.is_some();
        !is_held && seq.get() - so_far.get() <= NEARLY_THERE
    }
}

#[cfg(test)]
mod tests;
