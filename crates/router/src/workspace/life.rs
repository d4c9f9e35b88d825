//! How long a WorkspaceActor lives: when it is looked after, whether it may stop, and how it ends.

use actix::prelude::*;

use crate::{
    alarm::Alarm,
    idleness::{IdleLook, Idleness},
    mail::workspace::WorkspaceAddress,
};
use pointsman_domain::timestamp::Timestamp;

/// See the [module](self).
pub(super) struct Life {
    idleness: Idleness,
    /// Rings for the next tick.
    alarm: Alarm,
    is_draining: bool,
    is_retired: bool,
    /// The actor's own address, from the moment that the directory has let go of it until it is told to stop. An actor
    /// without any address ends at once, and with it the messages in its mailbox.
    leaving: Option<WorkspaceAddress>,
}

impl Life {
    pub(super) fn new(idleness: Idleness) -> Self {
        Self {
            idleness,
            alarm: Alarm::default(),
            is_draining: false,
            is_retired: false,
            leaving: None,
        }
    }

    /// Something happens.
    pub(super) const fn touch(&mut self) {
        self.idleness.touch();
    }

    /// See [`Idleness::look`].
    pub(super) fn look(&mut self, now: Timestamp) -> IdleLook {
        self.idleness.look(now)
    }

    /// See [`Idleness::horizon`].
    pub(super) fn horizon(&self, now: Timestamp) -> Timestamp {
        self.idleness.horizon(now)
    }

    /// Has `tick` called at `at`, if it is not called before.
    pub(super) fn tick_by<A>(
        &mut self,
        at: Timestamp,
        now: Timestamp,
        ctx: &mut Context<A>,
        tick: fn(&mut A, &mut Context<A>),
    ) where
        A: Actor<Context = Context<A>>,
    {
        self.alarm.ring_by(at, now, ctx, tick);
    }

    /// `tick` is called.
    pub(super) const fn ticks(&mut self) {
        self.alarm.has_rung();
    }

    /// Nothing more is to be started: the router stops.
    pub(super) const fn drain(&mut self) {
        self.is_draining = true;
    }

    /// The directory has let go of the actor, which keeps its address until it is told to stop.
    pub(super) fn leave(&mut self, own: WorkspaceAddress) {
        self.leaving = Some(own);
    }

    /// The actor was told to stop.
    pub(super) fn retire(&mut self) {
        self.is_retired = true;
        self.leaving = None;
    }

    /// Whether nothing more is to be started. An actor that stops before has died.
    pub(super) const fn is_ending(&self) -> bool {
        self.is_draining || self.is_retired
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::workspace::samples::Nobody;

    fn life() -> Life {
        Life::new(Idleness::new(Timestamp::default(), Duration::from_secs(1)))
    }

    #[test]
    fn an_actor_that_drains_or_is_retired_is_ending() {
        let mut drained = life();
        assert!(!drained.is_ending());
        drained.drain();
        assert!(drained.is_ending());

        let own: WorkspaceAddress = Arc::new(Nobody);
        let mut retired = life();
        retired.leave(Arc::clone(&own));
        assert!(!retired.is_ending(), "it is not told to stop yet");
        assert_eq!(Arc::strong_count(&own), 2, "its address is kept");
        retired.retire();
        assert!(retired.is_ending());
        assert_eq!(Arc::strong_count(&own), 1);
    }
}
