//! The RouterSupervisor: replaces WorkspaceActors that die, and wakes workspaces that have something to do
//! while nobody publishes into them.

use std::{fmt, sync::Arc, time::Duration};

use actix::prelude::*;
use sea_orm::DbErr;

use crate::{
    mail::supervisor::{LookBy, WorkspaceLeft, WorkspaceStopped},
    shared::Shared,
    waker::{Look, Waker},
};
use pointsman_domain::{id::WorkspaceId, timestamp::Timestamp};

/// Between attempts to look for work while there is no database.
const STORAGE_PAUSE: Duration = Duration::from_secs(1);
/// The waker looks no more often than this. Retries of active workspaces do not wait for it. Retries of other
/// workspaces do, after they have waited for minutes already.
const SHORTEST_SLEEP: Duration = Duration::from_secs(1);
/// After a look for what has become due, the waker pauses for this many times as long as it took.
const REST_PER_LOOK: u32 = 20;
/// The waker looks at least this often: the timers of the runtime stand still while the machine is suspended. So often
/// it looks through everything that is due, also where that was found before: what was to start it may be lost.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

pub struct RouterSupervisor {
    pub(super) shared: Arc<Shared>,
    /// How long it waits before its first look. Grows with each death in a row.
    pub(super) pause: Duration,
    /// The next look begins no sooner, by how long the last one took.
    not_before: Timestamp,
    /// When the last look through everything that was due began; none before the first has ended.
    all_seen_at: Option<Timestamp>,
    /// Rows were left that say that something is due where nothing is.
    has_left_some: bool,
    /// What became due up to this time has been found.
    seen_through: Timestamp,
    /// Rows that a look reads at a time.
    page_size: usize,
    /// Workspaces whose actors have stopped since the last look; at most one entry for each actor.
    left: Vec<WorkspaceId>,
    /// The earliest time at which a workspace asked it to look.
    wanted_at: Option<Timestamp>,
    /// The time and the timer of the next look; none while it looks.
    sleep: Option<(Timestamp, SpawnHandle)>,
}

impl fmt::Debug for RouterSupervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterSupervisor").finish_non_exhaustive()
    }
}

impl Actor for RouterSupervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if self.pause.is_zero() {
            return self.look(ctx);
        }
        log::error!("the supervisor has died and is replaced");
        ctx.run_later(self.pause, |actor, ctx| actor.look(ctx));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        // Runs while a panic unwinds, too. It holds nothing that is not durable, so that a new one goes on.
        self.shared.start_supervisor();
    }
}

impl RouterSupervisor {
    pub(super) fn new(shared: Arc<Shared>, pause: Duration) -> Self {
        Self {
            shared,
            pause,
            not_before: Timestamp::default(),
            left: Vec::new(),
            all_seen_at: None,
            has_left_some: false,
            seen_through: Timestamp::default(),
            page_size: usize::MAX,
            wanted_at: None,
            sleep: None,
        }
    }

    /// Activates every workspace that has something to do now, and sleeps until the next one is due.
    fn look(&mut self, ctx: &mut Context<Self>) {
        self.sleep = None;
        let now = self.shared.clock.now();
        if let Some(wanted_at) = self.wanted_at.take() {
            // It may have been written after the time at which it is due.
            self.seen_through = self.seen_through.min(wanted_at - Duration::from_millis(1));
        }
        let look = match self.all_seen_at {
            None => Look::Everything,
            Some(at) if self.has_left_some || at + LONGEST_SLEEP <= now => Look::AllDue,
            Some(_) => Look::DueAfter(self.seen_through),
        };
        let began = self.shared.clock.instant();
        self.shared.looks.begin(began);
        let mut waker = Waker::new(
            Arc::clone(&self.shared),
            look,
            std::mem::take(&mut self.left),
            self.page_size,
        );
        let run = async move {
            let found = waker.run().await;
            (found, waker)
        };
        // Interleaves with messages.
        ctx.spawn(run.into_actor(self).map(move |(found, waker), actor, ctx| {
            actor.page_size = waker.page_size();
            actor.has_left_some = waker.has_left_some();
            let took = actor.shared.clock.elapsed(began).saturating_sub(waker.paused());
            let next = actor.looked(look, now, took, found);
            actor.sleep_until(next, ctx);
        }));
    }

    /// A look that began at `now` has ended. Returns when to look again, if nothing happens before.
    fn looked(
        &mut self,
        look: Look,
        now: Timestamp,
        took: Duration,
        found: Result<Option<Timestamp>, DbErr>,
    ) -> Timestamp {
        let instant = self.shared.clock.instant();
        let mut rest = SHORTEST_SLEEP;
        let next = match found {
            Ok(next) => {
                self.shared.looks.ended(instant);
                self.seen_through = now;
                match look {
                    Look::Everything | Look::AllDue => self.all_seen_at = Some(now),
                    Look::DueAfter(_) => {
                        rest = took
                            .saturating_mul(REST_PER_LOOK)
                            .clamp(SHORTEST_SLEEP, LONGEST_SLEEP);
                    }
                }
                let all = match self.all_seen_at {
                    Some(at) if !self.has_left_some => at + LONGEST_SLEEP,
                    _ => now,
                };
                next.map_or(all, |next| next.min(all))
            }
            Err(error) => {
                log::warn!(error:%; "the waker cannot look for work yet");
                self.shared.looks.failed(&error.to_string(), instant);
                self.shared.clock.now() + STORAGE_PAUSE
            }
        };
        self.not_before = self.shared.clock.now() + rest;
        next
    }

    fn sleep_until(&mut self, next: Timestamp, ctx: &mut Context<Self>) {
        let now = self.shared.clock.now();
        let wanted = self.wanted_at.map_or(next, |wanted| wanted.min(next));
        let pause = wanted.max(self.not_before).since(now).min(LONGEST_SLEEP);
        let handle = ctx.run_later(pause, |actor, ctx| actor.look(ctx));
        self.sleep = Some((now + pause, handle));
    }
}

impl Handler<LookBy> for RouterSupervisor {
    type Result = ();

    fn handle(&mut self, LookBy(at): LookBy, ctx: &mut Self::Context) {
        self.wanted_at = Some(self.wanted_at.map_or(at, |wanted| wanted.min(at)));
        // While it looks there is no pause to cut short: at the end of the look `wanted_at` counts.
        if let Some((until, handle)) = self.sleep
            && at < until
        {
            ctx.cancel_future(handle);
            self.sleep_until(until, ctx);
        }
    }
}

impl Handler<WorkspaceLeft> for RouterSupervisor {
    type Result = ();

    /// Several are looked at together.
    fn handle(&mut self, WorkspaceLeft(workspace): WorkspaceLeft, ctx: &mut Self::Context) {
        self.left.push(workspace);
        let at = self.shared.clock.now() + SHORTEST_SLEEP;
        self.handle(LookBy(at), ctx);
    }
}

impl Handler<WorkspaceStopped> for RouterSupervisor {
    type Result = ();

    fn handle(&mut self, WorkspaceStopped(workspace): WorkspaceStopped, _: &mut Self::Context) {
        log::error!(workspace:%; "a workspace actor has died and is replaced");
        // The new actor begins with its deliveries after a pause that grows with each death.
        self.shared.activate(workspace);
    }
}
