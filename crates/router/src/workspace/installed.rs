//! What a WorkspaceActor knows of an installation.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;

use crate::{
    mail::{
        Takes,
        delivery::{DeliveryAddress, DeliveryRecipient},
        workspace::Rest,
    },
    restarts::Deaths,
    ring::Ring,
};
use pointsman_domain::{
    event::PlatformEvent, installation::InstallationView, lane::Suspicion, seq::Seq, span::is_due,
    timestamp::Timestamp,
};

/// The durable cursor of an installation without an actor falls no further behind, so that a start has
/// little to read of what is not due to it. As many events as a ring holds.
const LONGEST_LAG: i64 = 4096;
/// A lane that has so many events to go, due or not, may still keep up.
const NEARLY_THERE: i64 = 256;

/// An installation and, when it has something to do, its actor.
pub(super) struct Installed {
    pub(super) view: Arc<InstallationView>,
    pub(super) child: Child,
    pub(super) deaths: Deaths,
    /// What the last actor that panicked left to its successors.
    pub(super) suspicion: Suspicion,
    /// Without an actor: up to here nothing is left to do but retries.
    done: Seq,
    /// Without an actor: where the durable cursor stands, or further back.
    written: Seq,
    /// Without an actor: when to look at the retry table.
    next_retry_at: Option<Timestamp>,
}

/// The actor of an installation.
pub(super) enum Child {
    /// There is nothing to do.
    Idle,
    Running(RunningChild),
    /// It died; a successor is on its way.
    Restarting,
    /// It died too often.
    Failed,
}

pub(super) struct RunningChild {
    pub(super) address: DeliveryAddress,
    pub(super) incarnation: u64,
    pub(super) attached: bool,
    /// Messages sent to it.
    pub(super) told: u64,
    /// How far the log is that it was given.
    pub(super) given_through: Seq,
}

/// What the decision to start an actor depends on besides the installation.
#[derive(Clone, Copy)]
pub(super) struct Circumstances {
    pub(super) now: Timestamp,
    pub(super) head: Seq,
    pub(super) max_hold: Duration,
}

impl Installed {
    pub(super) fn new(view: InstallationView) -> Self {
        let mut installed = Self {
            view: Arc::new(view),
            child: Child::Idle,
            deaths: Deaths::default(),
            suspicion: Suspicion::default(),
            done: Seq::ZERO,
            written: Seq::ZERO,
            next_retry_at: None,
        };
        installed.look_at_view();
        installed
    }

    pub(super) fn take_view(&mut self, view: InstallationView) {
        self.view = Arc::new(view);
        self.look_at_view();
    }

    fn look_at_view(&mut self) {
        self.written = self.written.max(self.view.settled);
        self.done = self.done.max(self.written);
        if self.view.has_retries {
            // The view does not say when.
            self.next_retry_at = Some(Timestamp::default());
        }
    }

    /// Its actor has stopped for want of work.
    pub(super) fn rest(&mut self, rest: Rest) {
        self.done = self.done.max(rest.done);
        self.written = self.written.max(rest.written);
        self.next_retry_at = rest.next_retry_at;
    }

    /// A row was added to the retry table.
    pub(super) fn note_retry(&mut self, at: Timestamp) {
        self.next_retry_at = Some(self.next_retry_at.map_or(at, |next| next.min(at)));
    }

    /// The log up to `head` is known to hold nothing due to it after `known`, without which this says
    /// nothing.
    pub(super) fn nothing_due(&mut self, known: Seq, head: Seq) {
        if self.done >= known {
            self.done = self.done.max(head);
        }
    }

    /// Whether an actor would have something to do. `ring` tells whether anything was due of late.
    pub(super) fn has_work(&self, ring: &Ring, at: Circumstances) -> bool {
        if self.view.installation.uninstalled_at.is_some() {
            return true;
        }
        let has_any = self.next_retry_at.is_some() || self.done < at.head;
        if let Some(until) = self.held_until(at.max_hold) {
            return has_any && until <= at.now;
        }
        self.next_retry_at.is_some_and(|next| next <= at.now)
            || (self.done < at.head && self.may_have_due(ring, at.head))
            || at.head.get().saturating_sub(self.written.get()) > LONGEST_LAG
    }

    fn may_have_due(&self, ring: &Ring, head: Seq) -> bool {
        !ring.covers(self.done, head) || self.has_due(ring)
    }

    /// Whether one of these events is due and not done.
    pub(super) fn has_due(&self, recent: &Ring) -> bool {
        let is_due = |event: &PlatformEvent| is_due(&self.view.spans, event.seq, &event.event_key);
        recent.iter().any(|event| event.seq > self.done && is_due(event))
    }

    /// Whether the durable cursor stands before `head`, so that the waker would find it.
    pub(super) fn lags(&self, at: Circumstances) -> bool {
        self.written < at.head && self.held_until(at.max_hold).is_none_or(|until| until <= at.now)
    }

    /// While the installation is paused or disabled: when the first of what waits may expire.
    pub(super) fn held_until(&self, max_hold: Duration) -> Option<Timestamp> {
        let installation = &self.view.installation;
        let since = installation.held_since.unwrap_or(Timestamp::MAX);
        (self.view.is_held() && installation.uninstalled_at.is_none()).then(|| since + max_hold)
    }

    /// When an actor has to be started for it, if nothing happens before.
    pub(super) fn next_start(&self, at: Circumstances) -> Option<Timestamp> {
        if !matches!(self.child, Child::Idle) {
            return None;
        }
        match self.held_until(at.max_hold) {
            Some(until) => (self.next_retry_at.is_some() || self.done < at.head).then_some(until),
            None => self.next_retry_at,
        }
    }

    /// Whether an actor of it starts on an event at `seq` at once, as far as can be seen from here.
    /// `looked_through` is how far was looked on behalf of one that waits.
    pub(super) fn keeps_up(&self, seq: Seq, looked_through: Option<Seq>) -> bool {
        let so_far = match &self.child {
            Child::Running(child) => self.done.max(child.given_through),
            Child::Idle => self.done,
            Child::Restarting | Child::Failed => return false,
        };
        let so_far = looked_through.map_or(so_far, |looked| so_far.max(looked));
        let is_held = self.view.is_held() || self.view.installation.uninstalled_at.is_some();
        !is_held && seq.get() - so_far.get() <= NEARLY_THERE
    }

    /// Sends the message to the actor; false where there is none.
    pub(super) fn tell<M: Message>(&mut self, message: M) -> bool
    where
        dyn DeliveryRecipient: Takes<M>,
    {
        if let Child::Running(child) = &mut self.child {
            child.told += 1;
            Takes::tell(&*child.address, message);
            return true;
        }
        false
    }

    /// Which of its actors runs.
    pub(super) fn incarnation(&self) -> Option<u64> {
        match &self.child {
            Child::Running(child) => Some(child.incarnation),
            _ => None,
        }
    }
}
