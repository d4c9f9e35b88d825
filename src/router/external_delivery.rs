//! The actor of one external installation: runs its lane, and attempts over HTTP what the lane says.
//!
//! It holds nothing that is not durable elsewhere: when it dies, a successor attaches to the journal and
//! starts from what is settled.

mod attempts;
mod messages;
mod target;

use std::{collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

use actix::prelude::*;
use tokio::sync::{oneshot, watch};

pub(super) use self::messages::{Drain, Events, GetHealth, ResetBreaker, RetriesWait, SendTest, ViewChanged};
use self::{
    attempts::RunningAttempt,
    messages::{Attached, AttemptFinished, LetterSettled, RetriesRead, Settled},
};
use super::{
    LaneHealth, Shared,
    dead_letters::{GiveUp, Letter},
    external::{DeliveryTarget, Transport},
    workspace::{ChildEnd, ChildStopped, ReadAfter, WorkspaceActor},
};
use crate::{
    domain::{
        id::{InstallationId, WorkspaceId},
        lane::{Command, DeliveryKey, Input, Lane, LaneConfig, LaneLimits, LaneMode, Suspicion},
        seq::Seq,
        timestamp::Timestamp,
    },
    journal::{AttemptRecord, InstallationView, SettleCommand},
};

/// Between attempts to attach or to read while there is no database.
const STORAGE_PAUSE: Duration = Duration::from_millis(500);
/// What a lane starts with in flight, before it has seen the service answer.
const INITIAL_CONCURRENCY: usize = 8;
const STRAGGLER_AFTER: Duration = Duration::from_secs(1);
const LAZY_CURSOR_EVERY: Duration = Duration::from_secs(1);

pub(super) struct ExternalDeliveryActor {
    shared: Arc<Shared>,
    parent: Addr<WorkspaceActor>,
    liveness: Option<watch::Receiver<()>>,
    view: Arc<InstallationView>,
    target: Rc<Result<DeliveryTarget, String>>,
    /// When `target` has to be prepared anew.
    previous_secret_until: Option<Timestamp>,
    transport: Rc<Transport>,
    /// None until attached.
    lane: Option<Lane>,
    generation: i64,
    /// Attempts that run; dropped with this actor, so that a successor does not race with them.
    running: BTreeMap<DeliveryKey, RunningAttempt>,
    /// History that goes with the next settlement.
    history: Vec<AttemptRecord>,
    wake: Option<SpawnHandle>,
    drained: Option<oneshot::Sender<()>>,
    health: LaneHealth,
    end: ChildEnd,
    /// Reused by every step of the lane.
    commands: Vec<Command>,
}

impl ExternalDeliveryActor {
    pub(super) fn new(
        shared: Arc<Shared>,
        parent: Addr<WorkspaceActor>,
        liveness: watch::Receiver<()>,
        view: Arc<InstallationView>,
    ) -> Self {
        let target = Rc::new(target::prepare(&view.installation, &shared));
        let previous_secret_until = target::previous_secret_until(&view.installation, &shared);
        let transport = Rc::new(Transport::new(&shared.settings.client));
        Self {
            shared,
            parent,
            liveness: Some(liveness),
            view,
            target,
            previous_secret_until,
            transport,
            lane: None,
            generation: 0,
            running: BTreeMap::new(),
            history: Vec::new(),
            wake: None,
            drained: None,
            health: LaneHealth::default(),
            // Whatever ends this actor without saying why is a failure.
            end: ChildEnd::Failed,
            commands: Vec::new(),
        }
    }

    fn installation_id(&self) -> InstallationId {
        self.view.id()
    }

    fn workspace_id(&self) -> WorkspaceId {
        self.view.workspace_id()
    }

    /// Asks the journal for the licence to settle, until there is a database.
    fn attach(&self, ctx: &mut Context<Self>) {
        let (journal, id, own) = (self.shared.journal.clone(), self.installation_id(), ctx.address());
        actix::spawn(async move {
            let attached = journal.attach(id).await;
            own.do_send(Attached(attached));
        });
    }

    fn mode(&self) -> LaneMode {
        let installation = &self.view.installation;
        if self.drained.is_some() {
            LaneMode::Draining
        } else if let Some(head) = installation.uninstalled_seq {
            LaneMode::Closing { head: Seq::new(head) }
        } else if installation.paused || !installation.enabled {
            let since = installation.held_since.map(Timestamp::from_millis);
            LaneMode::Held {
                since: since.unwrap_or_else(|| self.shared.clock.now()),
            }
        } else {
            LaneMode::Running
        }
    }

    fn lane_config(&self) -> LaneConfig {
        let settings = &self.shared.settings;
        let own = self
            .view
            .installation
            .concurrency
            .and_then(|own| usize::try_from(own).ok());
        let concurrency = own.unwrap_or(settings.concurrency).clamp(1, settings.window);
        LaneConfig {
            window: settings.window,
            concurrency,
            initial_concurrency: INITIAL_CONCURRENCY.min(concurrency),
            schedule: settings.schedule.clone(),
            attempt_timeout: settings.attempt_timeout,
            straggler_after: STRAGGLER_AFTER,
            lazy_cursor_every: LAZY_CURSOR_EVERY,
            breaker_failures: Some(settings.breaker_failures),
            max_hold: settings.max_hold,
            ordered: self.view.installation.ordered,
            rate_limit: self
                .view
                .installation
                .rate_limit
                .and_then(|limit| u32::try_from(limit).ok()),
        }
    }

    /// One step of the lane, and what it commands.
    fn step(&mut self, input: Input, ctx: &mut Context<Self>) {
        let Some(lane) = &mut self.lane else { return };
        let clock = self.shared.clock;
        lane.handle(input, clock.now(), clock.random(), &mut self.commands);
        self.obey(ctx);
    }

    fn obey(&mut self, ctx: &mut Context<Self>) {
        let mut commands = std::mem::take(&mut self.commands);
        for command in commands.drain(..) {
            match command {
                Command::ReadAfter { seq, limit } => self.parent.do_send(ReadAfter {
                    installation_id: self.installation_id(),
                    child: ctx.address(),
                    after: seq,
                    limit,
                }),
                Command::ReadRetries { due_by, limit } => self.read_retries(due_by, limit, ctx),
                Command::Attempt(delivery) => self.start_attempt(delivery, ctx),
                Command::Settle(settlement) => {
                    let (reply, answer) = oneshot::channel();
                    self.shared.journal.settle(SettleCommand {
                        workspace_id: self.workspace_id(),
                        installation_id: self.installation_id(),
                        generation: self.generation,
                        settled: settlement.settled,
                        park: settlement.park,
                        remove: settlement.remove,
                        letters: Vec::new(),
                        attempts: std::mem::take(&mut self.history),
                        reply,
                    });
                    let own = ctx.address();
                    actix::spawn(
                        async move { own.do_send(Settled(answer.await.unwrap_or_else(|_| stopped()))) },
                    );
                }
                Command::GiveUp(given_up) => self.write_letter(given_up.key, Letter::GivenUp(given_up), ctx),
                Command::FinishReplay { key, dead_letter_id } => {
                    self.write_letter(key, Letter::Replayed { key, dead_letter_id }, ctx);
                }
                Command::WakeAt(at) => self.wake_at(at, ctx),
                Command::Drained => {
                    self.end = ChildEnd::Retired;
                    ctx.stop();
                }
                Command::Closed => self.close(ctx),
            }
        }
        self.commands = commands;
    }

    /// Dead letters are the DeadLetterActor's; it answers through the journal.
    fn write_letter(&mut self, key: DeliveryKey, letter: Letter, ctx: &mut Context<Self>) {
        let (reply, answer) = oneshot::channel();
        self.shared.dead_letters().do_send(GiveUp {
            workspace_id: self.workspace_id(),
            installation_id: self.installation_id(),
            generation: self.generation,
            extension_key: self.view.installation.key.as_str().into(),
            letter,
            attempts: std::mem::take(&mut self.history),
            reply,
        });
        let own = ctx.address();
        actix::spawn(async move {
            let result = answer.await.unwrap_or_else(|_| stopped());
            own.do_send(LetterSettled { key, result });
        });
    }

    fn read_retries(&self, due_by: Timestamp, limit: usize, ctx: &mut Context<Self>) {
        let (journal, workspace, id) = (
            self.shared.journal.clone(),
            self.workspace_id(),
            self.installation_id(),
        );
        let own = ctx.address();
        actix::spawn(async move {
            loop {
                match journal.due_retries(workspace, id, due_by, limit).await {
                    Ok((rows, next)) => return own.do_send(RetriesRead { rows, next }),
                    Err(error) => log::warn!(installation:% = id, error:%; "retries cannot be read yet"),
                }
                if !own.connected() {
                    return;
                }
                actix::clock::sleep(STORAGE_PAUSE).await;
            }
        });
    }

    fn wake_at(&mut self, at: Timestamp, ctx: &mut Context<Self>) {
        if let Some(earlier) = self.wake.take() {
            ctx.cancel_future(earlier);
        }
        // A timer of a millisecond at the least: a lane that asks to be woken at once must not spin.
        let pause = at
            .since(self.shared.clock.now())
            .max(Duration::from_millis(1))
            .min(Duration::from_secs(60));
        self.wake = Some(ctx.run_later(pause, |actor, ctx| actor.step(Input::Tick, ctx)));
    }

    /// Everything is settled and the installation is uninstalled: it is never looked at again.
    fn close(&self, ctx: &mut Context<Self>) {
        let (journal, id, own) = (self.shared.journal.clone(), self.installation_id(), ctx.address());
        actix::spawn(async move {
            let closed = journal.mark_closed(id).await;
            own.do_send(messages::Closed(closed));
        });
    }

    fn prepare_target(&mut self) {
        self.target = Rc::new(target::prepare(&self.view.installation, &self.shared));
        self.previous_secret_until = target::previous_secret_until(&self.view.installation, &self.shared);
    }

    fn fail(&mut self, ctx: &mut Context<Self>) {
        self.end = ChildEnd::Failed;
        ctx.stop();
    }
}

fn stopped<T>() -> Result<T, crate::journal::SettleError> {
    Err(crate::journal::SettleError::Stopped)
}

impl Actor for ExternalDeliveryActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(mut liveness) = self.liveness.take() {
            // Completes when the parent's end is dropped; then nobody would read for this actor any more.
            ctx.spawn(
                async move { while liveness.changed().await.is_ok() {} }
                    .into_actor(self)
                    .map(|(), actor, ctx| {
                        actor.end = ChildEnd::Retired;
                        ctx.stop();
                    }),
            );
        }
        self.attach(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        // Runs while a panic unwinds, too: nothing here can panic.
        let end = if std::thread::panicking() {
            ChildEnd::Failed
        } else {
            self.end
        };
        self.parent.do_send(ChildStopped {
            installation_id: self.view.id(),
            end,
        });
        drop(self.drained.take());
    }
}

impl Handler<Attached> for ExternalDeliveryActor {
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
                    Suspicion::default(),
                    now,
                    &mut self.commands,
                );
                self.lane = Some(lane);
                self.obey(ctx);
            }
            Err(_) if self.drained.is_some() => ctx.stop(),
            Err(_) => {
                ctx.run_later(STORAGE_PAUSE, |actor, ctx| actor.attach(ctx));
            }
        }
    }
}

impl Handler<Events> for ExternalDeliveryActor {
    type Result = ();

    fn handle(&mut self, events: Events, ctx: &mut Self::Context) {
        self.step(
            Input::Events {
                through: events.through,
                due: events.due,
            },
            ctx,
        );
    }
}

impl Handler<RetriesRead> for ExternalDeliveryActor {
    type Result = ();

    fn handle(&mut self, read: RetriesRead, ctx: &mut Self::Context) {
        self.step(
            Input::Retries {
                rows: read.rows,
                next_retry_at: read.next,
            },
            ctx,
        );
    }
}

impl Handler<RetriesWait> for ExternalDeliveryActor {
    type Result = ();

    fn handle(&mut self, wait: RetriesWait, ctx: &mut Self::Context) {
        self.step(Input::RetriesAdded { at: wait.at }, ctx);
    }
}

impl Handler<Settled> for ExternalDeliveryActor {
    type Result = ();

    fn handle(&mut self, Settled(result): Settled, ctx: &mut Self::Context) {
        match result {
            Ok(()) => self.step(Input::SettlementDurable, ctx),
            Err(_) => self.fail(ctx),
        }
    }
}

impl Handler<LetterSettled> for ExternalDeliveryActor {
    type Result = ();

    fn handle(&mut self, letter: LetterSettled, ctx: &mut Self::Context) {
        match letter.result {
            Ok(()) => self.step(Input::LetterWritten { key: letter.key }, ctx),
            Err(_) => self.fail(ctx),
        }
    }
}

impl Handler<messages::Closed> for ExternalDeliveryActor {
    type Result = ();

    fn handle(&mut self, closed: messages::Closed, ctx: &mut Self::Context) {
        match closed.0 {
            Ok(()) => {
                self.end = ChildEnd::Closed;
                ctx.stop();
            }
            // The next start finds it again.
            Err(_) if self.drained.is_some() => {
                self.end = ChildEnd::Retired;
                ctx.stop();
            }
            Err(_) => {
                ctx.run_later(STORAGE_PAUSE, |actor, ctx| actor.close(ctx));
            }
        }
    }
}

impl Handler<ViewChanged> for ExternalDeliveryActor {
    type Result = ();

    fn handle(&mut self, changed: ViewChanged, ctx: &mut Self::Context) {
        self.view = changed.view;
        self.prepare_target();
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

impl Handler<Drain> for ExternalDeliveryActor {
    type Result = ();

    fn handle(&mut self, drain: Drain, ctx: &mut Self::Context) {
        self.drained = Some(drain.reply);
        if self.lane.is_some() {
            self.step(Input::Mode(LaneMode::Draining), ctx);
        }
    }
}

impl Handler<GetHealth> for ExternalDeliveryActor {
    type Result = MessageResult<GetHealth>;

    fn handle(&mut self, _: GetHealth, _: &mut Self::Context) -> Self::Result {
        MessageResult(LaneHealth {
            in_flight: self.running.len(),
            ..self.health.clone()
        })
    }
}

impl Handler<AttemptFinished> for ExternalDeliveryActor {
    type Result = ();

    fn handle(&mut self, finished: AttemptFinished, ctx: &mut Self::Context) {
        self.finish_attempt(finished, ctx);
    }
}

impl Handler<ResetBreaker> for ExternalDeliveryActor {
    type Result = ();

    fn handle(&mut self, _: ResetBreaker, ctx: &mut Self::Context) {
        self.step(Input::ResetBreaker, ctx);
    }
}
