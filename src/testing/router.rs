//! The router of a test, and what a test asks of it.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use tokio::time::timeout;

use super::{
    calls::{Calls, Handled},
    folder::Folder,
};
use pointsman_clock::{Clock, TurnedClock};
use pointsman_domain::{
    event::NewEvent,
    id::{DeadLetterId, EventId, InstallationId, WorkspaceId},
};
use pointsman_engine::EventRouter;
use pointsman_extension::{PlatformEvent, Publication, engine};
use pointsman_store::{
    backlog, dead_letters,
    dead_letters::{DeadLetter, DeadLetterFilter, LetterRequest},
    direction::Direction,
    events,
    events::{EventFilter, PageRequest},
};

/// The longest time that a test waits until everything is settled, or until the router has stopped.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause between two checks whether everything is settled.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// The most events and dead letters that are read.
const MOST: u64 = 10_000;

/// A router with one workspace, in which all its extensions are installed. The methods panic on an error that the
/// extension does not cause, so that the test fails there.
///
/// ```
/// use std::time::Duration;
///
/// use pointsman::{
///     extension::{EventContext, HandlerError, event_handler, extension},
///     testing::TestRouter,
/// };
/// use serde_json::json;
///
/// struct Flaky;
///
/// #[extension(key = "flaky")]
/// impl Flaky {
///     #[event_handler(event_key = "order.placed", retry = "1h", max_attempts = 2)]
///     fn placed(&self, cx: EventContext) -> Result<(), HandlerError> {
///         match cx.is_replay() {
///             true => Ok(()),
///             false => Err(HandlerError::new("not yet")),
///         }
///     }
/// }
///
/// # actix_web::rt::System::new().block_on(async {
/// let test = TestRouter::with(Flaky).await;
/// test.publish("order.placed", json!({})).await;
/// test.settled().await;
/// assert!(test.dead_letters().await.is_empty(), "the second attempt waits for its time");
///
/// test.turn_clock(Duration::from_secs(2 * 60 * 60)).await;
/// test.settled().await;
/// let dead = test.dead_letters().await;
/// assert_eq!(dead[0].attempts, 2);
///
/// test.replay(dead[0].id).await;
/// test.settled().await;
/// assert_eq!(test.handled_by("placed").len(), 1);
/// test.stop().await;
/// # });
/// ```
#[derive(Debug)]
pub struct TestRouter {
    pub(super) router: EventRouter,
    pub(super) workspace: WorkspaceId,
    pub(super) installations: Vec<InstallationId>,
    pub(super) calls: Arc<Calls>,
    pub(super) clock: Clock,
    pub(super) turned: &'static TurnedClock,
    pub(super) _folder: Folder,
}

impl TestRouter {
    /// The router itself, for what the kit has no method for.
    pub fn router(&self) -> &EventRouter {
        &self.router
    }

    /// The workspace in which the extensions are installed.
    pub fn workspace(&self) -> WorkspaceId {
        self.workspace
    }

    /// Publishes an event as a client does over HTTP, and returns its id. The event is recorded then, and every
    /// synchronous handler has ended its first attempt, or `in_process.sync_timeout` (5 s) has passed. `payload` has to
    /// serialize to a JSON object.
    ///
    /// # Panics
    /// Where `event_key` is not an event key, `payload` is not a JSON object, or the event is not recorded.
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

    /// Waits until every delivery has ended or waits for the time of its next attempt, which
    /// [`TestRouter::turn_clock`] can bring on.
    ///
    /// # Panics
    /// Where a delivery is still in flight after 30 s.
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

    /// Turns the clock of this router forward. Deliveries whose next attempt is due by then are attempted again;
    /// [`TestRouter::settled`] waits for them.
    ///
    /// # Panics
    /// Where an installation does not answer.
    pub async fn turn_clock(&self, by: Duration) {
        self.turned.turn(by);
        for installation in &self.installations {
            // Makes its lane look at the time.
            let looked = self.router.reset(self.workspace, *installation).await;
            looked.unwrap_or_else(|error| panic!("an installation does not answer: {error}"));
        }
    }

    /// The calls of handlers that have succeeded, in the order in which they ended. A call whose handler returns an
    /// effect has succeeded when the effect is durable, and has failed when the effect fails.
    pub fn handled(&self) -> Vec<Handled> {
        self.calls.handled()
    }

    /// Those of [`TestRouter::handled`] whose handler has this name.
    pub fn handled_by(&self, handler: &str) -> Vec<Handled> {
        let mut handled = self.handled();
        handled.retain(|handled| handled.handler == handler);
        handled
    }

    /// Those of the newest 10,000 events of the log that handlers have published, in the order of the log. Each is what
    /// a handler of it gets, and equals the [`Handled::event`] of that handler.
    ///
    /// # Panics
    /// Where the database cannot be read.
    pub async fn published(&self) -> Vec<PlatformEvent> {
        let filter = EventFilter::default();
        let request = PageRequest {
            direction: Direction::Descending,
            after: None,
            limit: MOST,
            max_bytes: usize::MAX,
        };
        let page = events::page(self.router.reader(), self.workspace, &filter, &request, || {
            Duration::MAX
        });
        let newest_first = read(page.await).events.into_iter();
        let published = newest_first.rev().filter(|event| event.cause.is_some());
        published.map(|event| engine::shown(Arc::new(event))).collect()
    }

    /// The dead letters, at most 10000, the oldest first. Their payloads are left out.
    ///
    /// # Panics
    /// Where the database cannot be read.
    pub async fn dead_letters(&self) -> Vec<DeadLetter> {
        let filter = DeadLetterFilter::default();
        let request = LetterRequest {
            direction: Direction::Ascending,
            after: None,
            limit: MOST,
        };
        let reader = self.router.reader();
        let page = dead_letters::page(reader, self.workspace, &filter, &request, || Duration::MAX);
        read(page.await).letters
    }

    /// Replays a dead letter, as an admin does. [`TestRouter::settled`] waits for its delivery.
    ///
    /// # Panics
    /// Where it cannot be replayed.
    pub async fn replay(&self, letter: DeadLetterId) {
        let replayed = self.router.replay(self.workspace, letter, None).await;
        replayed.unwrap_or_else(|error| panic!("it cannot be replayed: {error}"));
    }

    /// Stops the router in order, which takes at most 30 s, and removes its database.
    pub async fn stop(self) {
        self.router.stop(PATIENCE).await;
    }
}

fn read<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("the database cannot be read: {error}"))
}
