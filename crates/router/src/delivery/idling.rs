//! An actor that has had nothing to do for a while stops, and its lane goes with it, and what its means hold.

use actix::prelude::*;

use super::{DeliveryActor, channel::DeliveryChannel};
use crate::{
    alarm::{LONGEST_SLEEP, SHORTEST_SLEEP},
    mail::workspace::{ChildEnd, Rest},
};
use pointsman_domain::{lane::LaneMode, timestamp::Timestamp};

impl<M: DeliveryChannel> DeliveryActor<M> {
    pub(super) fn watch_idleness(&mut self, ctx: &mut Context<Self>) {
        let patience = self.shared.settings.passivate_after;
        let every = patience.clamp(SHORTEST_SLEEP, LONGEST_SLEEP);
        ctx.run_interval(every, move |actor, ctx| {
            let now = actor.shared.clock.now();
            if actor.idleness.look(now, patience) <= now
                && let Some(rest) = actor.rest(now + patience)
            {
                actor.end_as(ChildEnd::Idle(rest), ctx);
            }
        });
    }

    /// Where the lane stands, if it has nothing to do before `soon` but what its parent may tell it.
    fn rest(&self, soon: Timestamp) -> Option<Rest> {
        let lane = self.lane.as_ref()?.snapshot();
        let is_quiet = self.running.is_empty() && lane.in_flight == 0 && lane.window_used == 0;
        if !is_quiet || self.reading_retries || self.drained.is_some() {
            return None;
        }
        let has_nothing_left =
            lane.queued == 0 && lane.queued_retries == 0 && lane.settled == lane.read_through;
        let next_retry_at = lane.next_retry_at;
        let done = match lane.mode {
            LaneMode::Running | LaneMode::Held { .. }
                if has_nothing_left && next_retry_at.is_none_or(|next| next > soon) =>
            {
                lane.read_through
            }
            // What was read waits in the database as well, until it may expire.
            LaneMode::Held { since } if since + self.shared.settings.max_hold > soon => lane.settled,
            _ => return None,
        };
        let next_retry_at = if lane.queued_retries > 0 {
            Some(Timestamp::default())
        } else {
            next_retry_at
        };
        Some(Rest {
            done,
            written: lane.settled,
            next_retry_at,
            heard: self.heard,
        })
    }
}
