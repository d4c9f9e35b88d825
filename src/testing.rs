//! A kit for tests of in-process extensions: a router in this process, over a database that goes with it.
//!
//! ```
//! use pointsman::{
//!     extension::{EventContext, HandlerError, event_handler, extension},
//!     testing::TestRouter,
//! };
//! use serde::Deserialize;
//! use serde_json::json;
//!
//! #[derive(Deserialize)]
//! struct DealClosed {
//!     amount: String,
//! }
//!
//! struct Crm;
//!
//! #[extension(key = "crm")]
//! impl Crm {
//!     #[event_handler(event_key = "crm.deal.closed")]
//!     async fn deal_closed(&self, deal: DealClosed, cx: EventContext) -> Result<(), HandlerError> {
//!         if cx.attempt() == 1 {
//!             return Err(HandlerError::new("the ledger is busy"));
//!         }
//!         let message = format!("A deal was closed for {}!", deal.amount);
//!         cx.publish("crm.announced", json!({ "message": message })).await?;
//!         Ok(())
//!     }
//! }
//!
//! # actix_web::rt::System::new().block_on(async {
//! let test = TestRouter::with(Crm).await;
//! let deal = test.publish("crm.deal.closed", json!({ "amount": "5000.00" })).await;
//! test.settled().await;
//! assert!(test.handled().is_empty(), "its first attempt has failed");
//!
//! test.turn_clock(std::time::Duration::from_secs(10)).await;
//! test.settled().await;
//! assert_eq!(test.handled()[0].event.id, deal);
//! let published = test.published().await;
//! assert_eq!(published[0].event_key.as_str(), "crm.announced");
//! assert_eq!(published[0].correlation_id(), deal);
//! assert!(test.dead_letters().await.is_empty());
//! test.stop().await;
//! # });
//! ```

mod calls;
mod folder;

use std::{fmt, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::time::timeout;

pub use self::calls::Handled;
use self::{calls::Calls, folder::Folder};
use crate::server::RouterBuilder;
use pointsman_clock::{Clock, TurnedClock};
use pointsman_config::Config;
use pointsman_domain::{
    event::{NewEvent, PlatformEvent},
    id::{DeadLetterId, EventId, InstallationId, WorkspaceId},
    installation::NewInstallation,
};
use pointsman_engine::EventRouter;
use pointsman_extension::{Extension, Publication, engine};
use pointsman_store::{
    backlog, dead_letters,
    dead_letters::{DeadLetter, DeadLetterFilter, Direction},
    events,
    events::EventFilter,
};

/// How long a test waits for everything to be settled.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at what is not settled.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Events and letters that are read at most.
const MOST: u64 = 10_000;

/// A router with one workspace, in which all its extensions are installed. The methods panic where something
/// goes wrong that is not the extension's doing, as tests do.
#[derive(Debug)]
pub struct TestRouter {
    router: EventRouter,
    workspace: WorkspaceId,
    installations: Vec<InstallationId>,
    calls: Arc<Calls>,
    clock: Clock,
    turned: &'static TurnedClock,
    _folder: Folder,
}

/// Builds a [`TestRouter`].
#[derive(Default)]
pub struct TestRouterBuilder {
    extensions: Vec<Box<dyn FnOnce(RouterBuilder) -> RouterBuilder + Send>>,
    settings: String,
}

impl fmt::Debug for TestRouterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestRouterBuilder")
            .field("extensions", &self.extensions.len())
            .field("settings", &self.settings)
            .finish()
    }
}

impl TestRouterBuilder {
    /// Registers an extension.
    #[must_use]
    pub fn extension(mut self, extension: impl Extension) -> Self {
        self.extensions
            .push(Box::new(|builder| builder.extension(extension)));
        self
    }

    /// Settings that differ from the defaults, as in a configuration file (TOML).
    #[must_use]
    pub fn settings(mut self, toml: &str) -> Self {
        self.settings.push_str(toml);
        self.settings.push('\n');
        self
    }

    /// Starts the router and installs the extensions. Call it within an actix `System`.
    ///
    /// # Panics
    /// Where an extension cannot be registered, or the settings are not allowed.
    pub async fn start(self) -> TestRouter {
        let folder = Folder::make();
        let database = ("POINTSMAN__DATABASE__URL".to_owned(), folder.database_url());
        let config = Config::from_sources(Some(&self.settings), [database]);
        let config = config.unwrap_or_else(|error| panic!("the settings are not allowed: {error}"));
        let turned = TurnedClock::leaked();
        let clock = Clock::over(turned);
        let calls = Arc::<Calls>::default();
        let mut builder = RouterBuilder::new(config)
            .bare()
            .clock(clock)
            .watch(calls.watch());
        for extension in self.extensions {
            builder = extension(builder);
        }
        let router = builder.start().await;
        let router = router.unwrap_or_else(|error| panic!("the router does not start: {error}"));
        let mut test = TestRouter {
            router,
            workspace: WorkspaceId::new(clock.new_uuid()),
            installations: Vec::new(),
            calls,
            clock,
            turned,
            _folder: folder,
        };
        test.install_all().await;
        test
    }
}

impl TestRouter {
    pub fn builder() -> TestRouterBuilder {
        TestRouterBuilder::default()
    }

    /// A router with this extension alone. Call it within an actix `System`.
    ///
    /// # Panics
    /// Where it cannot be registered.
    pub async fn with(extension: impl Extension) -> Self {
        Self::builder().extension(extension).start().await
    }

    async fn install_all(&mut self) {
        for extension in self.router.extensions().all() {
            let new =
                NewInstallation::in_process(&extension.key, &extension.name, extension.patterns(), || {
                    self.clock.new_uuid()
                });
            self.installations.push(new.id);
            let installed = self.router.install(self.workspace, new).await;
            installed.unwrap_or_else(|error| panic!("{} cannot be installed: {error}", extension.key));
        }
    }

    /// The router itself, for what the kit has no word for.
    pub fn router(&self) -> &EventRouter {
        &self.router
    }

    /// The one workspace.
    pub fn workspace(&self) -> WorkspaceId {
        self.workspace
    }

    /// Publishes an event, as over HTTP: returns when it is recorded and the synchronous handlers have had it.
    ///
    /// # Panics
    /// Where the key is no event key, or the payload no JSON object.
    pub async fn publish(&self, event_key: &str, payload: impl Serialize) -> EventId {
        let publication = Publication::new(event_key, &payload);
        let publication = engine::publication_parts(publication.unwrap_or_else(|error| panic!("{error}")));
        let event = NewEvent {
            id: EventId::new(self.clock.new_uuid()),
            event_key: publication.event_key,
            schema_version: None,
            actor: None,
            payload: publication.payload,
            occurred_at: self.clock.wall(),
            traceparent: None,
            cause: None,
        };
        let id = event.id;
        let recorded = self.router.publish(self.workspace, event, None).await;
        recorded.unwrap_or_else(|error| panic!("{event_key} is not recorded: {error}"));
        id
    }

    /// Waits until nothing is left to do but what waits for its time: see [`TestRouter::turn_clock`].
    ///
    /// # Panics
    /// Where there is still something to do after 30 s.
    pub async fn settled(&self) {
        let settling = async {
            let mut looks = tokio::time::interval(LOOK_EVERY);
            while !self.is_settled().await {
                looks.tick().await;
            }
        };
        let settled = timeout(PATIENCE, settling).await;
        settled.unwrap_or_else(|_| panic!("not settled after {} s", PATIENCE.as_secs()));
    }

    async fn is_settled(&self) -> bool {
        let database = self.router.reader();
        for installation in &self.installations {
            let backlog = backlog::of_installation(database, self.workspace, *installation).await;
            if read(backlog).pending > 0 {
                return false;
            }
        }
        let next = read(backlog::next_retry_at(database, self.workspace).await);
        next.is_none_or(|at| at > self.clock.now())
    }

    /// Turns the clock of this router forward: what waits for its time until then is tried again.
    pub async fn turn_clock(&self, by: Duration) {
        self.turned.turn(by);
        for installation in &self.installations {
            // Has its lane look at the time.
            let looked = self.router.reset(self.workspace, *installation).await;
            looked.unwrap_or_else(|error| panic!("an installation does not answer: {error}"));
        }
    }

    /// What handlers have handled, in the order in which they ended. An effect is part of it: what was handled is
    /// durable, and a handler whose effect failed has handled nothing.
    pub fn handled(&self) -> Vec<Handled> {
        self.calls.handled()
    }

    /// Likewise, of the handlers with this name.
    pub fn handled_by(&self, handler: &str) -> Vec<Handled> {
        let mut handled = self.handled();
        handled.retain(|handled| handled.handler == handler);
        handled
    }

    /// The events that handlers have published, in the order of the log.
    pub async fn published(&self) -> Vec<PlatformEvent> {
        let filter = EventFilter::default();
        let page = events::page(
            self.router.reader(),
            self.workspace,
            &filter,
            None,
            MOST,
            usize::MAX,
        );
        let mut published = read(page.await).events;
        published.retain(|event| event.cause.is_some());
        published.reverse();
        published
    }

    /// What was given up, oldest first. Payloads are left out.
    pub async fn dead_letters(&self) -> Vec<DeadLetter> {
        let filter = DeadLetterFilter::default();
        let page = dead_letters::page(
            self.router.reader(),
            self.workspace,
            &filter,
            Direction::Ascending,
            None,
            MOST,
        );
        read(page.await)
    }

    /// Replays a dead letter, as an admin does.
    ///
    /// # Panics
    /// Where it cannot be replayed.
    pub async fn replay(&self, letter: DeadLetterId) {
        let replayed = self.router.replay(self.workspace, letter, None).await;
        replayed.unwrap_or_else(|error| panic!("it cannot be replayed: {error}"));
    }

    /// Ends the router in order; its database goes with it.
    pub async fn stop(self) {
        self.router.stop(PATIENCE).await;
    }
}

fn read<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("the database cannot be read: {error}"))
}

#[cfg(test)]
mod tests;
