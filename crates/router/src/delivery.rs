//! The actor of one installation: runs its lane, and makes the attempts that the lane asks for through the
//! [`DeliveryChannel`] of its delivery type.
//!
//! It holds nothing that is not durable elsewhere: when it dies, a successor attaches to the journal and
//! starts from what is settled.

mod attempts;
pub(crate) mod channel;
mod handlers;
mod idling;
mod messages;
mod running_attempt;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use actix::prelude::*;
use tokio::sync::oneshot;

use self::{
    channel::DeliveryChannel,
    messages::{Attached, InstallationClosed, LetterWritten, RetriesRead, SettlementWritten},
    running_attempt::RunningAttempt,
};
use crate::{
    alarm::Alarm,
    answers::LaneHealth,
    handshake::MessagesHandled,
    idleness::Idleness,
    lines::Line,
    mail::{
        dead_letters::ChangeLetter,
        origin::Origin,
        workspace::{ChildEnd, ReadAfter},
    },
    shared::Shared,
};
use pointsman_domain::{
    id::{InstallationId, WorkspaceId},
    installation::InstallationView,
    lane::{
        BreakerState, DeliveryKey, Input, Lane, LaneCommand, LaneConfig, LaneMode, LetterChange, Settlement,
    },
    timestamp::Timestamp,
};
use pointsman_journal::{AttemptRecord, SettleCommand, SettleError};

/// Between attempts to attach or to read while there is no database.
const STORAGE_PAUSE: Duration = Duration::from_millis(500);
/// Attempts that a lane has in flight at most before it has seen one succeed.
const INITIAL_CONCURRENCY: usize = 8;
const STRAGGLER_AFTER: Duration = Duration::from_secs(1);
/// How long a settlement waits for further deliveries, so that a slow stream of events does not wait for the disk once
/// more for each event. Far shorter than the pauses before retries.
const SETTLE_AFTER: Duration = Duration::from_millis(50);
const LAZY_CURSOR_EVERY: Duration = Duration::from_secs(1);

/// Generic over how it makes attempts; everything else is the same for every delivery type.
pub struct DeliveryActor<C: DeliveryChannel> {
    shared: Arc<Shared>,
    origin: Origin,
    view: Arc<InstallationView>,
    channel: C,
    /// None until attached.
    lane: Option<Lane>,
    /// A read of the retry table is on its way.
    reading_retries: bool,
    /// When to look at the retry table, told before the lane was attached: its attachment may be older.
    retries_wait: Option<Timestamp>,
    idleness: Idleness,
    /// Rings when it is time to look whether the actor may stop.
    idle_alarm: Alarm,
    /// The messages of its parent that it has handled.
    handled: MessagesHandled,
    generation: i64,
    /// Attempts in flight. They end with this actor, so that a successor does not race with them.
    running: BTreeMap<DeliveryKey, RunningAttempt>,
    /// Attempts to be recorded with the next settlement.
    history: Vec<AttemptRecord>,
    /// Rings when the lane wants to be woken.
    alarm: Alarm,
    drained: Option<oneshot::Sender<()>>,
    health: LaneHealth,
    end: ChildEnd,
    /// Reused by every step of the lane.
    commands: Vec<LaneCommand>,
}

impl<C: DeliveryChannel> fmt::Debug for DeliveryActor<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryActor").finish_non_exhaustive()
    }
}

impl<C: DeliveryChannel> DeliveryActor<C> {
    pub(super) fn new(shared: Arc<Shared>, view: Arc<InstallationView>, origin: Origin) -> Self {
        Self {
            channel: C::new(&shared, &view),
            idleness: Idleness::new(shared.clock.now(), shared.settings.passivate_after),
            idle_alarm: Alarm::default(),
            handled: MessagesHandled::default(),
            shared,
            origin,
            view,
            lane: None,
            reading_retries: false,
            retries_wait: None,
            generation: 0,
            running: BTreeMap::new(),
            history: Vec::new(),
            alarm: Alarm::default(),
            drained: None,
            health: LaneHealth::default(),
            // An end for which nothing else is set is a failure.
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

    /// Asks the journal for the licence to settle. The answer is an error while there is no database.
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
            LaneMode::Closing { head }
        } else if self.view.is_held() {
            LaneMode::Held {
                since: installation.held_since.unwrap_or_else(|| self.shared.clock.now()),
            }
        } else {
            LaneMode::Running
        }
    }

    fn lane_config(&self) -> LaneConfig {
        let settings = &self.shared.settings;
        let own = self.view.installation.concurrency.map(|own| own as usize);
        let concurrency = own.unwrap_or(settings.concurrency).clamp(1, settings.window);
        LaneConfig {
            window: settings.window,
            concurrency,
            initial_concurrency: INITIAL_CONCURRENCY.min(concurrency),
            schedule: settings.schedule.clone(),
            attempt_timeout: C::attempt_timeout(settings),
            settle_after: SETTLE_AFTER,
            straggler_after: STRAGGLER_AFTER,
            lazy_cursor_every: LAZY_CURSOR_EVERY,
            breaker_failures: C::breaker_failures(settings),
            max_hold: settings.max_hold,
            ordered: self.view.installation.ordered,
            rate_limit: self.view.installation.rate_limit,
        }
    }

    /// One step of the lane, and the commands that follow from it.
    fn step(&mut self, input: Input, ctx: &mut Context<Self>) {
        let Some(lane) = &mut self.lane else { return };
        let clock = self.shared.clock;
        let before = lane.breaker();
        lane.handle(input, clock.now(), clock.random(), &mut self.commands);
        let after = lane.breaker();
        self.tell_of_breaker(before, after);
        self.execute(ctx);
        if let Some(lane) = &mut self.lane {
            lane.commands_executed();
        }
    }

    /// Into the log, where a breaker is open at the end: a successor begins with a closed one, and attempts at once.
    fn tell_of_end(&self) {
        if let (Some(lane), ChildEnd::Idle(_) | ChildEnd::Closed) = (&self.lane, &self.end) {
            self.tell_of_breaker(lane.breaker(), BreakerState::Closed);
        }
    }

    /// Into the log, where the breaker has opened or closed.
    fn tell_of_breaker(&self, before: BreakerState, after: BreakerState) {
        let line = match (before, after) {
            (BreakerState::Closed, BreakerState::Open { .. }) => Line::BreakerOpened,
            (BreakerState::Open { .. }, BreakerState::Closed) => Line::BreakerClosed,
            _ => return,
        };
        let (workspace, installation) = (self.workspace_id(), self.installation_id());
        let Some(left_out) = self.shared.lines.may_say(line, workspace, installation) else {
            return;
        };
        let extension = self.view.installation.key.as_str();
        if line == Line::BreakerOpened {
            let failures = self.shared.settings.breaker_failures;
            let cause = self.lane.as_ref().and_then(Lane::breaker_cause);
            let status = cause.and_then(|cause| cause.status);
            let error = cause.and_then(|cause| cause.error.as_deref()).map(in_one_line);
            log::warn!(
                workspace:%, installation:%, extension, failures, status, error, left_out;
                "a breaker has opened: the service fails again and again, and is sent one delivery at a time"
            );
        } else {
            log::info!(workspace:%, installation:%, extension, left_out; "a breaker has closed: deliveries go on");
        }
    }

    fn execute(&mut self, ctx: &mut Context<Self>) {
        let mut commands = std::mem::take(&mut self.commands);
        for command in commands.drain(..) {
            match command {
                LaneCommand::ReadAfter { seq, limit } => self.origin.parent.tell(ReadAfter {
                    installation_id: self.installation_id(),
                    incarnation: self.origin.incarnation,
                    after: seq,
                    limit,
                }),
                LaneCommand::ReadRetries { due_by, limit } => self.read_retries(due_by, limit, ctx),
                LaneCommand::Attempt(delivery) => {
                    self.start_attempt(delivery, ctx);
                }
                LaneCommand::Settle(settlement) => self.settle(settlement, ctx),
                LaneCommand::ChangeLetter(change) => self.change_letter(change, ctx),
                LaneCommand::WakeAt(at) => self.wake_at(at, ctx),
                LaneCommand::Drained => self.end_as(ChildEnd::Drained, ctx),
                LaneCommand::Closed => self.close(ctx),
            }
        }
        self.commands = commands;
    }

    fn settle(&mut self, settlement: Settlement, ctx: &mut Context<Self>) {
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
            async move { own.do_send(SettlementWritten(answer.await.unwrap_or_else(|_| stopped()))) },
        );
    }

    /// The DeadLetterActor writes the dead letter through the journal, which answers.
    fn change_letter(&mut self, change: LetterChange, ctx: &mut Context<Self>) {
        let key = change.key();
        let (reply, answer) = oneshot::channel();
        self.shared.dead_letters().tell(ChangeLetter {
            workspace_id: self.workspace_id(),
            installation_id: self.installation_id(),
            generation: self.generation,
            extension_key: self.view.installation.key.as_str().into(),
            change,
            attempts: std::mem::take(&mut self.history),
            reply,
        });
        let own = ctx.address();
        actix::spawn(async move {
            let result = answer.await.unwrap_or_else(|_| stopped());
            own.do_send(LetterWritten { key, result });
        });
    }

    fn read_retries(&mut self, due_by: Timestamp, limit: usize, ctx: &mut Context<Self>) {
        self.reading_retries = true;
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
        self.alarm
            .ring_at(at, self.shared.clock.now(), ctx, |actor, ctx| {
                actor.alarm.has_rung();
                actor.step(Input::Tick, ctx);
            });
    }

    /// Marks the installation as closed: it is uninstalled and everything is settled, so that no start reads it again.
    fn close(&self, ctx: &mut Context<Self>) {
        let (journal, id, own) = (self.shared.journal.clone(), self.installation_id(), ctx.address());
        actix::spawn(async move {
            let closed = journal.mark_closed(id).await;
            own.do_send(InstallationClosed(closed));
        });
    }

    fn end_as(&mut self, end: ChildEnd, ctx: &mut Context<Self>) {
        self.end = end;
        ctx.stop();
    }

    /// A settlement was not written. One that was fenced or dropped is not this actor's fault; one that the database
    /// refuses is.
    fn fail(&mut self, error: SettleError, ctx: &mut Context<Self>) {
        let end = match error {
            SettleError::Refused => ChildEnd::Failed,
            SettleError::Fenced | SettleError::Stopped => ChildEnd::Interrupted,
        };
        self.end_as(end, ctx);
    }
}

/// The beginning of a text from outside, without control characters, for the log.
fn in_one_line(text: &str) -> String {
    const MOST_CHARS: usize = 200;
    text.chars()
        .take(MOST_CHARS)
        .flat_map(char::escape_debug)
        .collect()
}

fn stopped<T>() -> Result<T, SettleError> {
    Err(SettleError::Stopped)
}
