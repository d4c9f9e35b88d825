//! An actor that has had nothing to do for a while stops. Its lane goes with it, and so do the connections or threads
//! that its delivery channel holds.

use actix::prelude::*;

use super::{DeliveryActor, channel::DeliveryChannel};
use crate::mail::workspace::{ChildEnd, Rest};
use pointsman_domain::{lane::LaneMode, timestamp::Timestamp};

impl<C: DeliveryChannel> DeliveryActor<C> {
    /// Stops where it has had nothing to do for long enough, and looks again later where not.
    pub(super) fn look_for_rest(&mut self, ctx: &mut Context<Self>) {
        self.idle_alarm.has_rung();
        let now = self.shared.clock.now();
        let look = self.idleness.look(now);
        if look.is_over()
            && let Some(rest) = self.rest(self.idleness.horizon(now))
        {
            return self.end_as(ChildEnd::Idle(rest), ctx);
        }
        self.idle_alarm
            .ring_at(look.next(), now, ctx, |actor, ctx| actor.look_for_rest(ctx));
    }

    /// Where the lane stands, if it has nothing to do before `soon` unless its parent sends it something.
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
            // The events that were read are in the database, too, and can be read again before they expire.
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
            handled: self.handled,
        })
    }
}
