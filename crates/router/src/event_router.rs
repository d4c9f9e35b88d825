//! The handle of the router.

#![warn(missing_docs)]

use std::{sync::Arc, time::Duration};

use actix::prelude::*;
use futures_util::future::{BoxFuture, join_all};
use pointsman_clock::Clock;
use pointsman_domain::{
    attempt::AttemptResult,
    event::{NewEvent, PlatformEvent},
    event_key::EventKey,
    id::{DeadLetterId, EventId, InstallationId, UserId, WorkspaceId},
    installation::{Installation, InstallationChange, NewInstallation},
};
use pointsman_extension::Extensions;
use pointsman_journal::{ChangeError, Journal, NoticeSink};
use sea_orm::{DatabaseTransaction, DbErr};
use tokio::time::timeout;

use crate::{
    answers::{LaneHealth, NotReady},
    dead_letters::DeadLetterActor,
    directory::Directory,
    external_delivery::ExternalDeliveryActor,
    in_process::{self, InProcessHandlerActor},
    mail::{
        dead_letters::{Discard, Replay},
        delivery::{DeliveryAddress, GetHealth, ResetBreaker, SendTest},
        workspace::{DrainWorkspace, EndDeliveries, Erase, FindChild, Found, Purpose, WorkspaceAddress},
    },
    settings::RouterSettings,
    shared::{Shared, Starters},
    supervisor::RouterSupervisor,
    workspace::WorkspaceActor,
};

/// How long a delivery actor is looked for while its workspace cannot read its installations.
pub(crate) const FIND_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a delivery actor is looked for where the workspace's actor stops while it is asked.
const FIND_TRIES: usize = 3;

/// The part of the grace that is kept for the journal, to make the last settlements durable.
const JOURNAL_GRACE: Duration = Duration::from_secs(2);

/// The types of the actors.
const STARTERS: Starters = Starters {
    workspace: |id, shared, entry| {
        let arbiter = shared.workspace_arbiter(id);
        let create = move |_: &mut Context<_>| WorkspaceActor::new(id, shared, entry);
        Arc::new(WorkspaceActor::start_in_arbiter(&arbiter, create))
    },
    delivery: |shared, view, origin| {
        let arbiter = shared.delivery_arbiter(view.id());
        if view.is_in_process() {
            let create = |_: &mut Context<_>| InProcessHandlerActor::new(shared, view, origin);
            Arc::new(InProcessHandlerActor::start_in_arbiter(&arbiter, create))
        } else {
            let create = |_: &mut Context<_>| ExternalDeliveryActor::new(shared, view, origin);
            Arc::new(ExternalDeliveryActor::start_in_arbiter(&arbiter, create))
        }
    },
    dead_letters: |arbiter, parts| {
        let create = |_: &mut Context<_>| DeadLetterActor::new(parts);
        Arc::new(DeadLetterActor::start_in_arbiter(arbiter, create))
    },
    supervisor: |shared, pause| {
        let arbiter = shared.arbiter(0);
        let create = move |_: &mut Context<_>| RouterSupervisor::new(shared, pause);
        Arc::new(RouterSupervisor::start_in_arbiter(&arbiter, create))
    },
};

/// Takes the notices of the journal from the moment that it is open, also before there is a router.
#[derive(Default)]
pub struct Notices(Arc<Directory>);

impl std::fmt::Debug for Notices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notices").finish_non_exhaustive()
    }
}

impl Notices {
    /// The sink of notices to open the journal with.
    pub fn sink(&self) -> NoticeSink {
        let directory = Arc::clone(&self.0);
        Box::new(move |notice| directory.notify(notice))
    }
}

/// The handle of a router; cheap to clone.
#[derive(Clone)]
pub struct EventRouter {
    pub(crate) shared: Arc<Shared>,
}

impl std::fmt::Debug for EventRouter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventRouter").finish_non_exhaustive()
    }
}

impl EventRouter {
    /// Starts the actors over this journal, whose sink is that of `notices`. Call it within an actix `System`.
    pub fn start(settings: RouterSettings, journal: Journal, notices: Notices, clock: Clock) -> Self {
        let directory = notices.0;
        in_process::prepare();
        let shared = Arc::new(Shared::new(settings, journal, directory, clock, STARTERS));
        let notified = Arc::downgrade(&shared);
        shared.directory.serve(move |notice| {
            if let Some(shared) = notified.upgrade() {
                shared.notify(notice);
            }
        });
        shared.start_supervisor();
        Self { shared }
    }

    /// Installs an extension. Its subscriptions take every event whose publish starts after this returns. The id, the
    /// key and the subscriptions are those of `new`.
    ///
    /// # Errors
    /// [`ChangeError::Conflict`] where the key is installed in the workspace already, see
    /// [`Journal::install`].
    pub async fn install(
        &self,
        workspace: WorkspaceId,
        new: NewInstallation,
    ) -> Result<Installation, ChangeError> {
        let view = self.shared.journal.install(workspace, new).await?;
        self.settle_caches(workspace).await;
        Ok(view.installation)
    }

    /// Changes an installation. The change takes effect for every publish that starts after this returns.
    ///
    /// # Errors
    /// See [`Journal::change_installation`].
    pub async fn change_installation(
        &self,
        workspace: WorkspaceId,
        installation: InstallationId,
        change: InstallationChange,
    ) -> Result<Installation, ChangeError> {
        let view = self
            .shared
            .journal
            .change_installation(workspace, installation, change)
            .await?;
        self.settle_caches(workspace).await;
        Ok(view.installation)
    }

    /// Closes the breaker of the installation, and starts its actor, even where the installation is marked as failed
    /// because its actor died too often.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`] where the workspace has no such installation;
    /// [`ChangeError::StorageUnavailable`] where the workspace's installations cannot be read.
    pub async fn reset(
        &self,
        workspace: WorkspaceId,
        installation: InstallationId,
    ) -> Result<(), ChangeError> {
        let child = self
            .started_child(workspace, installation, Purpose::Reset)
            .await?;
        child.ask(ResetBreaker).await.map_err(gone)
    }

    /// Waits until the workspace's actor, if there is one, has handled the notices sent so far: its mailbox keeps
    /// their order. An actor that starts later reads what is durable.
    async fn settle_caches(&self, workspace: WorkspaceId) {
        let find = FindChild {
            installation_id: InstallationId::new(uuid::Uuid::nil()),
            purpose: Purpose::Look,
        };
        if let Some(actor) = self.active(workspace) {
            // Where the actor is gone, its successor reads what is durable.
            let _ = timeout(FIND_TIMEOUT, actor.ask(find)).await;
        }
    }

    /// Sends `event` to this installation alone, and records nothing.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`] where the workspace has no such installation; [`ChangeError::Conflict`]
    /// where the installation is marked as failed; [`ChangeError::StorageUnavailable`] where the workspace's
    /// installations cannot be read.
    pub async fn send_test(
        &self,
        workspace: WorkspaceId,
        installation: InstallationId,
        event: NewEvent,
    ) -> Result<AttemptResult, ChangeError> {
        let child = self
            .started_child(workspace, installation, Purpose::Start)
            .await?;
        child.ask(SendTest { event }).await.map_err(gone)
    }

    /// The actor of the installation, started where there is none.
    pub(crate) async fn started_child(
        &self,
        workspace: WorkspaceId,
        installation_id: InstallationId,
        purpose: Purpose,
    ) -> Result<DeliveryAddress, ChangeError> {
        for _ in 0..FIND_TRIES {
            let find = FindChild {
                installation_id,
                purpose,
            };
            let found = timeout(FIND_TIMEOUT, self.shared.workspace(workspace).ask(find)).await;
            match found.map_err(|_| ChangeError::StorageUnavailable)? {
                Ok(Found::Actor(child)) => return Ok(child),
                Ok(Found::Failed) => {
                    let why = "the extension has failed: its actor died too often; reset it first";
                    return Err(ChangeError::Conflict(why.to_owned()));
                }
                Ok(Found::Nothing) => return Err(ChangeError::NotFound("extension")),
                // The workspace's actor has stopped meanwhile: there is another one.
                Err(_) => {}
            }
        }
        Err(ChangeError::StorageUnavailable)
    }

    /// The actor of the workspace, if it has one.
    pub(crate) fn active(&self, workspace: WorkspaceId) -> Option<WorkspaceAddress> {
        self.shared.directory.existing(workspace)?.active()
    }

    /// Delivers the letter's event once more, to `to` or, without it, to the installation that could not take it.
    /// Returns when the retry is durable, before it is attempted.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`]; [`ChangeError::Conflict`] where the letter is not `DEAD` or the
    /// installation takes no deliveries.
    pub async fn replay(
        &self,
        workspace_id: WorkspaceId,
        letter: DeadLetterId,
        to: Option<InstallationId>,
    ) -> Result<(), ChangeError> {
        let replay = Replay {
            workspace_id,
            letter,
            to,
        };
        self.shared
            .dead_letters()
            .ask(replay)
            .await
            .map_err(|_| ChangeError::StorageUnavailable)??;
        Ok(())
    }

    /// Marks a dead letter as not to be delivered.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`]; [`ChangeError::Conflict`] where the letter is not `DEAD`.
    pub async fn discard(&self, workspace_id: WorkspaceId, letter: DeadLetterId) -> Result<(), ChangeError> {
        let discard = Discard { workspace_id, letter };
        self.shared
            .dead_letters()
            .ask(discard)
            .await
            .map_err(|_| ChangeError::StorageUnavailable)?
    }

    /// The causes of an event: the event that caused it, the cause of that one, and so on back to the event that came
    /// from outside, as far as they are in the log.
    ///
    /// # Errors
    /// While there is no database.
    pub async fn causes_of(
        &self,
        workspace: WorkspaceId,
        event: &PlatformEvent,
    ) -> Result<Vec<(EventId, EventKey)>, DbErr> {
        match event.cause {
            Some(cause) => {
                let journal = &self.shared.journal;
                journal
                    .causes_of(workspace, cause.causation_id, cause.depth)
                    .await
            }
            None => Ok(Vec::new()),
        }
    }

    /// The in-process extensions that are registered.
    pub fn extensions(&self) -> &Extensions {
        &self.shared.settings.in_process.extensions
    }

    /// The state of the installation's lane, where the installation has an actor right now or is marked as failed.
    pub async fn health(&self, workspace: WorkspaceId, installation: InstallationId) -> Option<LaneHealth> {
        if self.shared.failed.contains(installation) {
            return Some(LaneHealth {
                failed: true,
                ..LaneHealth::default()
            });
        }
        let find = FindChild {
            installation_id: installation,
            purpose: Purpose::Look,
        };
        let found = timeout(FIND_TIMEOUT, self.active(workspace)?.ask(find)).await;
        match found {
            Ok(Ok(Found::Actor(child))) => timeout(FIND_TIMEOUT, child.ask(GetHealth)).await.ok()?.ok(),
            _ => None,
        }
    }

    /// Erases the payload of the event wherever it is: when this returns it is nowhere in the database, and no
    /// delivery of it begins any more. Those in flight may end. Deliveries that are still due end as dead letters with
    /// the reason `ERASED`.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`] where the event is not in the log of the workspace. After
    /// [`ChangeError::StorageUnavailable`] some of it may be erased.
    pub async fn erase(&self, workspace: WorkspaceId, event: EventId, by: UserId) -> Result<(), ChangeError> {
        self.shared.journal.erase(workspace, event, by).await?;
        log::info!(workspace:%, event:%, by:%; "the payload of an event is erased");
        let left = self.shared.erased.find(event);
        if let (Some(left), Some(actor)) = (left, self.active(workspace)) {
            // Where the actor is gone, its successor reads what is left of the event.
            let _ = timeout(FIND_TIMEOUT, actor.ask(Erase(left))).await;
        }
        Ok(())
    }

    /// Deletes the workspace: when this returns it is unknown, nothing can be written there, and nothing of it is
    /// delivered any more. Deliveries in flight are cut off, and handlers that run may not write. The rows of the
    /// workspace are deleted afterwards, in pieces.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`] where there is no such workspace. After [`ChangeError::StorageUnavailable`] it may be
    /// deleted all the same.
    pub async fn delete_workspace(&self, workspace: WorkspaceId, by: UserId) -> Result<(), ChangeError> {
        self.shared.journal.delete_workspace(workspace, by).await?;
        log::info!(workspace:%, by:%; "a workspace is deleted; its rows go from now on");
        if let Some(actor) = self.active(workspace) {
            // Where the actor is gone, so are its deliveries, and its successor finds none.
            let _ = timeout(FIND_TIMEOUT, actor.ask(EndDeliveries)).await;
        }
        Ok(())
    }

    /// Whether the router accepts and delivers events.
    ///
    /// # Errors
    /// See [`NotReady`].
    pub fn readiness(&self) -> Result<(), NotReady> {
        if self.shared.is_stopping() {
            return Err(NotReady::ShuttingDown);
        }
        self.shared
            .journal
            .storage_state()
            .map_err(|trouble| NotReady::Storage(trouble.to_string()))?;
        let waker = self.shared.looks.trouble(self.shared.clock.instant());
        waker.map_or(Ok(()), |trouble| Err(NotReady::Waker(trouble)))
    }

    /// Returns once the journal has ended. Before [`EventRouter::stop`] that is a defect after which nothing is
    /// accepted any more: the process must be restarted.
    pub async fn journal_ended(&self) {
        self.shared.journal.ended().await;
    }

    /// Runs `work` in a transaction of the one writer connection, which is the journal's. On error it is rolled back.
    /// A host uses it for tables of its own: the actors are not told of what it changes in those of Pointsman.
    ///
    /// Everybody waits meanwhile. What it sets for the session (`SET`, PostgreSQL) ends with it. Beside an effect that
    /// takes over 25 ms, whose locks it may need, it waits at most 250 ms for a lock there.
    ///
    /// # Errors
    /// Those of `work`; [`ChangeError::Database`] where the database refuses the commit; and
    /// [`ChangeError::StorageUnavailable`].
    pub async fn write<T, F>(&self, work: F) -> Result<T, ChangeError>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a DatabaseTransaction) -> BoxFuture<'a, Result<T, ChangeError>> + Send + 'static,
    {
        self.shared
            .journal
            .write(move |transaction| Box::pin(async move { Ok((work(transaction).await?, Vec::new())) }))
            .await
    }

    /// Refuses new publishes from now on.
    pub fn stop_accepting(&self) {
        self.shared.stop_accepting();
    }

    /// Refuses new publishes, lets what is in flight finish for at most `grace`, makes everything durable
    /// and stops the actors. What is still in flight then is delivered again after the next start.
    pub async fn stop(&self, grace: Duration) {
        self.shared.stop_accepting();
        let drains = self
            .shared
            .directory
            .all()
            .into_iter()
            .filter_map(|entry| entry.active())
            .map(|address| address.ask(DrainWorkspace));
        let drained = timeout(grace.saturating_sub(JOURNAL_GRACE), join_all(drains)).await;
        if drained.is_err() {
            log::warn!(
                "some deliveries did not end within the grace; they are repeated after the next start"
            );
        }
        if timeout(JOURNAL_GRACE, self.shared.journal.stop()).await.is_err() {
            log::error!("the journal did not stop in time");
        }
        self.shared.lines.tell(true);
        self.shared.stop_arbiters();
    }
}

fn gone(_: MailboxError) -> ChangeError {
    ChangeError::Conflict("the extension's actor has just been replaced; try again".to_owned())
}
