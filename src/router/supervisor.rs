//! The RouterSupervisor: replaces WorkspaceActors that die, and wakes workspaces that have something to do
//! while nobody publishes into them.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;

use super::Shared;
use crate::domain::{id::WorkspaceId, timestamp::Timestamp};

/// Before a dead WorkspaceActor is replaced, unless a publish comes first.
const REPLACE_PAUSE: Duration = Duration::from_millis(100);
/// Between attempts to look for work while there is no database.
const STORAGE_PAUSE: Duration = Duration::from_secs(1);
/// The waker looks at least this often, so that no timer of hours has to be trusted.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

pub(super) struct RouterSupervisor {
    pub(super) shared: Arc<Shared>,
}

/// A WorkspaceActor has died.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct WorkspaceStopped(pub(super) WorkspaceId);

impl Actor for RouterSupervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.look(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        // Runs while a panic unwinds, too. It holds nothing that is not durable, so that a new one goes on.
        self.shared.start_supervisor();
    }
}

impl RouterSupervisor {
    /// Activates every workspace that has something to do now, and sleeps until the next retry is due.
    fn look(&self, ctx: &mut Context<Self>) {
        let (journal, now) = (self.shared.journal.clone(), self.shared.clock.now());
        let work = async move {
            let workspaces = journal.workspaces_with_work(now).await?;
            Ok::<_, sea_orm::DbErr>((workspaces, journal.earliest_retry_after(now).await?))
        };
        ctx.spawn(work.into_actor(self).map(|found, actor, ctx| {
            let sleep = match found {
                Ok((workspaces, next)) => {
                    for workspace in workspaces {
                        actor.shared.activate(workspace);
                    }
                    actor.until(next)
                }
                Err(error) => {
                    log::warn!(error:%; "the waker cannot look for work yet");
                    STORAGE_PAUSE
                }
            };
            ctx.run_later(sleep, |actor, ctx| actor.look(ctx));
        }));
    }

    fn until(&self, next: Option<Timestamp>) -> Duration {
        let next = next.map_or(LONGEST_SLEEP, |next| next.since(self.shared.clock.now()));
        next.clamp(Duration::from_millis(100), LONGEST_SLEEP)
    }
}

impl Handler<WorkspaceStopped> for RouterSupervisor {
    type Result = ();

    fn handle(&mut self, WorkspaceStopped(workspace): WorkspaceStopped, ctx: &mut Self::Context) {
        log::error!(workspace:%; "a workspace actor has died and is replaced");
        ctx.run_later(REPLACE_PAUSE, move |actor, _| actor.shared.activate(workspace));
    }
}
