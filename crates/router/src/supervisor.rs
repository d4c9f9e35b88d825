//! The RouterSupervisor: replaces WorkspaceActors that die, and wakes workspaces that have something to do
//! while nobody publishes into them.

use std::{fmt, sync::Arc, time::Duration};

use actix::prelude::*;
use futures_util::future::join_all;
use sea_orm::DbErr;
use tokio::time::timeout;

use crate::{
    mail::{
        supervisor::{LookBy, WorkspaceStopped},
        workspace::AwaitStart,
    },
    shared::Shared,
};
use pointsman_domain::timestamp::Timestamp;

/// Between attempts to look for work while there is no database.
const STORAGE_PAUSE: Duration = Duration::from_secs(1);
/// The waker looks no more often than this. Retries of active workspaces do not wait for it. Retries of other
/// workspaces do, after they have waited for minutes already.
const SHORTEST_SLEEP: Duration = Duration::from_secs(1);
/// The waker pauses for this many times as long as its last look took.
const REST_PER_LOOK: u32 = 20;
/// The waker looks at least this often: the timers of the runtime stand still while the machine is suspended.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// Workspaces that the waker starts at the same time, so that thousands of them that are behind do not
/// delay publishers and admins.
const STARTS_AT_ONCE: usize = 32;
/// How long the waker waits for those before it goes on with the next.
const START_TIMEOUT: Duration = Duration::from_secs(5);

pub struct RouterSupervisor {
    pub(super) shared: Arc<Shared>,
    /// How long it waits before its first look. Grows with each death in a row.
    pub(super) pause: Duration,
    /// The shortest pause between two looks, by how long the last one took.
    rest: Duration,
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
            rest: SHORTEST_SLEEP,
            wanted_at: None,
            sleep: None,
        }
    }

    /// Activates every workspace that has something to do now, and sleeps until the next retry is due.
    fn look(&mut self, ctx: &mut Context<Self>) {
        self.sleep = None;
        self.wanted_at = None;
        let shared = Arc::clone(&self.shared);
        let began = shared.clock.instant();
        // Interleaves with messages.
        ctx.spawn(
            async move { wake_workspaces(&shared).await }
                .into_actor(self)
                .map(move |found, actor, ctx| {
                    let now = actor.shared.clock.now();
                    let took = actor.shared.clock.elapsed(began);
                    actor.rest = took
                        .saturating_mul(REST_PER_LOOK)
                        .clamp(SHORTEST_SLEEP, LONGEST_SLEEP);
                    let next = found.unwrap_or_else(|error| {
                        log::warn!(error:%; "the waker cannot look for work yet");
                        Some(now + STORAGE_PAUSE)
                    });
                    actor.sleep_until(next.unwrap_or(Timestamp::MAX), ctx);
                }),
        );
    }

    fn sleep_until(&mut self, next: Timestamp, ctx: &mut Context<Self>) {
        let now = self.shared.clock.now();
        let wanted = self.wanted_at.map_or(next, |wanted| wanted.min(next));
        let pause = wanted.since(now).clamp(self.rest, LONGEST_SLEEP);
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

/// Starts the actors of all workspaces with something to do, a few at a time. Returns the time of the next retry.
async fn wake_workspaces(shared: &Arc<Shared>) -> Result<Option<Timestamp>, DbErr> {
    let now = shared.clock.now();
    let mut workspaces = shared.journal.workspaces_with_work(now).await?.into_iter();
    loop {
        let started: Vec<_> = workspaces
            .by_ref()
            .filter_map(|workspace| shared.activate(workspace))
            .take(STARTS_AT_ONCE)
            .map(|address| address.ask(AwaitStart))
            .collect();
        if started.is_empty() {
            break;
        }
        // An actor that has died meanwhile is replaced. One that is slow delays the others by the timeout at most.
        let _ = timeout(START_TIMEOUT, join_all(started)).await;
    }
    shared.journal.earliest_retry_after(now).await
}

impl Handler<WorkspaceStopped> for RouterSupervisor {
    type Result = ();

    fn handle(&mut self, WorkspaceStopped(workspace): WorkspaceStopped, _: &mut Self::Context) {
        log::error!(workspace:%; "a workspace actor has died and is replaced");
        // The new actor begins with its deliveries after a pause that grows with each death.
        self.shared.activate(workspace);
    }
}
