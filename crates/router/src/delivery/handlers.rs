//! What a DeliveryActor does about each message.

use std::sync::Arc;

use actix::prelude::*;

use super::{
    DeliveryActor, STORAGE_PAUSE,
    channel::DeliveryChannel,
    messages::{
        Attached, AttemptFinished, InstallationClosed, LetterWritten, RetriesRead, ServiceLives,
        SettlementWritten,
    },
};
use crate::{
    answers::LaneHealth,
    mail::{
        delivery::{Drain, EraseDelivery, Events, GetHealth, ResetBreaker, RetriesWait, ViewChanged},
        workspace::{ChildAttached, ChildEnd, ChildStopped},
    },
};
use pointsman_domain::lane::{Due, Input, Lane, LaneConfig, LaneLimits, LaneMode};

impl<C: DeliveryChannel> Actor for DeliveryActor<C> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let mut liveness = self.origin.liveness.clone();
        // Completes when the parent is gone, which reads the log for this actor.
        ctx.spawn(
            async move { while liveness.changed().await.is_ok() {} }
                .into_actor(self)
                .map(|(), actor, ctx| actor.end_as(ChildEnd::Drained, ctx)),
        );
        self.attach(ctx);
        self.look_for_rest(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        // Runs while a panic unwinds, too: nothing here can panic.
        let panicked = std::thread::panicking();
        if !panicked {
            self.tell_of_end();
        }
        self.origin.parent.tell(ChildStopped {
            installation_id: self.view.id(),
            incarnation: self.origin.incarnation,
            end: if panicked { ChildEnd::Failed } else { self.end },
            suspicion: self.lane.as_ref().filter(|_| panicked).map(Lane::suspicion),
        });
        drop(self.drained.take());
    }
}

impl<C: DeliveryChannel> Handler<Attached> for DeliveryActor<C> {
    type Result = ();

    fn handle(&mut self, Attached(attached): Attached, ctx: &mut Self::Context) {
        match attached {
            Ok(attached) => {
                self.generation = attached.generation;
                let now = self.shared.clock.now();
                let lane = Lane::new(
                    self.lane_config(),
                    attached.attachment,
                    self.mode(),
                    self.origin.suspicion.clone(),
                    now,
                    &mut self.commands,
                );
                self.lane = Some(lane);
                self.origin.parent.tell(ChildAttached {
                    installation_id: self.installation_id(),
                    incarnation: self.origin.incarnation,
                });
                self.idleness.touch();
                self.execute(ctx);
                if let Some(at) = self.retries_wait.take() {
                    self.step(Input::RetriesAdded { at }, ctx);
                }
            }
            Err(_) if self.drained.is_some() => self.end_as(ChildEnd::Drained, ctx),
            Err(_) => {
                ctx.run_later(STORAGE_PAUSE, |actor, ctx| actor.attach(ctx));
            }
        }
    }
}

impl<C: DeliveryChannel> Handler<Events> for DeliveryActor<C> {
    type Result = ();

    fn handle(&mut self, events: Events, ctx: &mut Self::Context) {
        self.handled.count();
        if !events.due.is_empty() {
            self.idleness.touch();
        }
        let mut due = Vec::with_capacity(events.due.len());
        for event in events.due {
            let event = self.shared.erased.left_of(event);
            let handlers = self.channel.handlers_of(&event);
            due.extend(handlers.map(|(handler, attempt_timeout)| Due {
                event: Arc::clone(&event),
                handler,
                attempt_timeout,
            }));
        }
        let through = events.through;
        let awaited: Vec<Due> = due
            .iter()
            .filter(|due| due.event.latch.is_some())
            .cloned()
            .collect();
        self.step(Input::Events { through, due }, ctx);
        // A lane that cannot start an attempt at once is behind: the publisher does not wait for it.
        for due in awaited {
            let key = due.live_key();
            if !self.running.contains_key(&key) {
                self.release_publisher(&due.event, key);
            }
        }
    }
}

impl<C: DeliveryChannel> Handler<RetriesRead> for DeliveryActor<C> {
    type Result = ();

    fn handle(&mut self, read: RetriesRead, ctx: &mut Self::Context) {
        self.reading_retries = false;
        if !read.rows.is_empty() {
            self.idleness.touch();
        }
        let mut rows = read.rows;
        for row in &mut rows {
            row.event = self.shared.erased.left_of(Arc::clone(&row.event));
        }
        self.step(
            Input::Retries {
                rows,
                next_retry_at: read.next,
            },
            ctx,
        );
    }
}

impl<C: DeliveryChannel> Handler<RetriesWait> for DeliveryActor<C> {
    type Result = ();

    fn handle(&mut self, wait: RetriesWait, ctx: &mut Self::Context) {
        self.handled.count();
        self.idleness.touch();
        if self.lane.is_none() {
            let first = self.retries_wait.map_or(wait.at, |at| at.min(wait.at));
            self.retries_wait = Some(first);
        }
        self.step(Input::RetriesAdded { at: wait.at }, ctx);
    }
}

impl<C: DeliveryChannel> Handler<SettlementWritten> for DeliveryActor<C> {
    type Result = ();

    fn handle(&mut self, SettlementWritten(result): SettlementWritten, ctx: &mut Self::Context) {
        match result {
            Ok(()) => self.step(Input::SettlementDurable, ctx),
            Err(error) => self.fail(error, ctx),
        }
    }
}

impl<C: DeliveryChannel> Handler<LetterWritten> for DeliveryActor<C> {
    type Result = ();

    fn handle(&mut self, letter: LetterWritten, ctx: &mut Self::Context) {
        match letter.result {
            Ok(()) => self.step(Input::LetterWritten { key: letter.key }, ctx),
            Err(error) => self.fail(error, ctx),
        }
    }
}

impl<C: DeliveryChannel> Handler<InstallationClosed> for DeliveryActor<C> {
    type Result = ();

    fn handle(&mut self, closed: InstallationClosed, ctx: &mut Self::Context) {
        // Where it could not be marked, a successor closes it after a pause.
        let end = closed.0.map_or(ChildEnd::Interrupted, |()| ChildEnd::Closed);
        self.end_as(end, ctx);
    }
}

impl<C: DeliveryChannel> Handler<ViewChanged> for DeliveryActor<C> {
    type Result = ();

    fn handle(&mut self, changed: ViewChanged, ctx: &mut Self::Context) {
        self.handled.count();
        self.idleness.touch();
        self.view = changed.view;
        self.channel.view_changed(&self.view);
        let LaneConfig {
            concurrency,
            ordered,
            rate_limit,
            ..
        } = self.lane_config();
        let limits = LaneLimits {
            concurrency,
            ordered,
            rate_limit,
        };
        self.step(Input::Limits(limits), ctx);
        self.step(Input::Mode(self.mode()), ctx);
    }
}

impl<C: DeliveryChannel> Handler<Drain> for DeliveryActor<C> {
    type Result = ();

    fn handle(&mut self, drain: Drain, ctx: &mut Self::Context) {
        self.handled.count();
        self.drained = Some(drain.reply);
        if self.lane.is_some() {
            self.step(Input::Mode(LaneMode::Draining), ctx);
        }
    }
}

impl<C: DeliveryChannel> Handler<EraseDelivery> for DeliveryActor<C> {
    type Result = ();

    fn handle(&mut self, erase: EraseDelivery, ctx: &mut Self::Context) {
        self.handled.count();
        let id = erase.left.id;
        for row in self.history.iter_mut().filter(|row| row.event_id == id) {
            row.erase();
        }
        self.step(Input::Erased(erase.left), ctx);
    }
}

impl<C: DeliveryChannel> Handler<GetHealth> for DeliveryActor<C> {
    type Result = MessageResult<GetHealth>;

    fn handle(&mut self, _: GetHealth, _: &mut Self::Context) -> Self::Result {
        let lane = self.lane.as_ref();
        MessageResult(LaneHealth {
            in_flight: self.running.len(),
            breaker: lane.map(|lane| lane.snapshot().breaker).unwrap_or_default(),
            breaker_cause: lane.and_then(Lane::breaker_cause).cloned(),
            ..self.health.clone()
        })
    }
}

impl<C: DeliveryChannel> Handler<AttemptFinished> for DeliveryActor<C> {
    type Result = ();

    fn handle(&mut self, finished: AttemptFinished, ctx: &mut Self::Context) {
        self.idleness.touch();
        self.finish_attempt(finished, ctx);
    }
}

impl<C: DeliveryChannel> Handler<ResetBreaker> for DeliveryActor<C> {
    type Result = ();

    fn handle(&mut self, _: ResetBreaker, ctx: &mut Self::Context) {
        self.idleness.touch();
        self.step(Input::ResetBreaker, ctx);
    }
}

impl<C: DeliveryChannel> Handler<ServiceLives> for DeliveryActor<C> {
    type Result = ();

    fn handle(&mut self, _: ServiceLives, ctx: &mut Self::Context) {
        self.step(Input::ServiceLives, ctx);
    }
}
