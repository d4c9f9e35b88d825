//! Who asks a WorkspaceActor for its delivery actors.

use actix::prelude::*;
use tokio::sync::oneshot;

use super::{WorkspaceActor, installed::Child};
use crate::{
    mail::workspace::{AwaitStart, FindChild, Found, Purpose},
    restarts::Deaths,
};

impl Handler<FindChild> for WorkspaceActor {
    type Result = ResponseFuture<Found>;

    /// Detached: until the installations are read the answer waits, and messages go on.
    fn handle(&mut self, find: FindChild, ctx: &mut Self::Context) -> Self::Result {
        self.idleness.touch();
        if self.loaded {
            return Box::pin(std::future::ready(self.find_child(&find, ctx)));
        }
        let (reply, found) = oneshot::channel();
        self.finds.push((find, reply));
        Box::pin(async move { found.await.unwrap_or(Found::Nothing) })
    }
}

impl Handler<AwaitStart> for WorkspaceActor {
    type Result = ResponseFuture<()>;

    /// Detached: messages go on.
    fn handle(&mut self, _: AwaitStart, _: &mut Self::Context) -> Self::Result {
        let (reply, started) = oneshot::channel();
        self.starts.push(reply);
        self.answer_starts();
        Box::pin(async move {
            // Dropped unanswered by an actor that has died: then nobody waits for it either.
            let _ = started.await;
        })
    }
}

impl WorkspaceActor {
    fn find_child(&mut self, find: &FindChild, ctx: &mut Context<Self>) -> Found {
        let id = find.installation_id;
        if find.purpose == Purpose::Reset {
            self.shared.failed.forget(id);
            if let Some(installed) = self.installed.get_mut(&id)
                && matches!(installed.child, Child::Failed)
            {
                installed.child = Child::Idle;
                installed.deaths = Deaths::default();
            }
        }
        if find.purpose != Purpose::Look {
            self.start_child(id, ctx);
        }
        match self.installed.get(&id).map(|installed| &installed.child) {
            Some(Child::Running(child)) => Found::Actor(child.address.clone()),
            Some(Child::Failed) => Found::Failed,
            Some(Child::Idle | Child::Restarting) | None => Found::Nothing,
        }
    }

    /// Answers those who asked before the installations were read.
    pub(super) fn answer_finds(&mut self, ctx: &mut Context<Self>) {
        for (find, reply) in std::mem::take(&mut self.finds) {
            // Who asked may have gone.
            let _ = reply.send(self.find_child(&find, ctx));
        }
    }

    /// Answers those who wait until the lanes are attached, once they are.
    pub(super) fn answer_starts(&mut self) {
        let is_attached = |child: &Child| !matches!(child, Child::Running(child) if !child.attached);
        if self.starts.is_empty() || !self.loaded {
            return;
        }
        if self
            .installed
            .values()
            .all(|installed| is_attached(&installed.child))
        {
            for reply in std::mem::take(&mut self.starts) {
                let _ = reply.send(());
            }
        }
    }
}
