//! An in-process extension whose values panic wherever they can.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use sea_orm::DatabaseTransaction;

use super::{
    kit::{Running, on_both_engines},
    probe::Order,
    *,
};
use pointsman_domain::installation::{InstallationUpdate, NewInstallation};
use pointsman_extension::{
    Effect, EventContext, EventHandler, Extension, Extensions, FromEvent, HandlerError, HandlerOutcome,
    Publication,
};

/// Panics when it is dropped, with another one.
#[derive(Debug)]
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        std::panic::panic_any(Self);
    }
}

/// An error with one method that does what it must not.
#[derive(Debug)]
enum Wrong {
    Display,
    Source,
    OwnSource,
    Long,
    Drop(Bomb),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Display => panic!("Display panics"),
            Self::Long => {
                let part = "long ".repeat(1000);
                // It goes on after errors of the writer.
                let written = (0..1000).filter(|_| f.write_str(&part).is_ok());
                assert!(written.count() <= 1000);
                Ok(())
            }
            Self::Source | Self::OwnSource | Self::Drop(_) => f.write_str("wrong"),
        }
    }
}

impl Error for Wrong {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Source => panic!("source panics"),
            Self::OwnSource => Some(self),
            _ => None,
        }
    }
}

struct Traps;

impl Extension for Traps {
    fn key(&self) -> &str {
        "traps"
    }

    fn name(&self) -> &str {
        "Traps"
    }

    fn handlers(self: Arc<Self>) -> Vec<EventHandler> {
        let handler = |name, key| EventHandler::new(name, key, |cx| spring(cx).boxed_local()).unwrap();
        vec![
            handler("on_sync", "traps.sync"),
            handler("on_async", "traps.async").asynchronous(),
        ]
    }
}

async fn spring(context: EventContext) -> Result<HandlerOutcome, HandlerError> {
    let order = Order::from_event(context.event())?;
    match order.deed.as_str() {
        "display" => Err(Wrong::Display.into()),
        "permanent display" => Err(HandlerError::permanent(Wrong::Display)),
        "source" => Err(Wrong::Source.into()),
        "own source" => Err(Wrong::OwnSource.into()),
        "long" => Err(Wrong::Long.into()),
        "error dropped" => Err(Wrong::Drop(Bomb).into()),
        "panic dropped" => std::panic::panic_any(Bomb),
        "hang" => {
            let _bomb = Bomb;
            std::future::pending().await
        }
        "thread" => {
            actix::Arbiter::current().stop();
            std::future::pending().await
        }
        "effect dropped" => {
            let too_large = serde_json::json!({ "text": "x".repeat(1024 * 1024) });
            let bomb = Bomb;
            let effect = Effect::new(move |_| {
                let _bomb = &bomb;
                async { Ok(()) }.boxed()
            });
            Ok(effect
                .and_publish(Publication::new("traps.none", &too_large)?)
                .into())
        }
        "effect" => Ok(Effect::new(|_| async { Err(Wrong::Display.into()) }.boxed()).into()),
        "effect panics" => Ok(Effect::new(explode).into()),
        "effect hangs" => Ok(Effect::new(|_| {
            async {
                let _bomb = Bomb;
                std::future::pending().await
            }
            .boxed()
        })
        .into()),
        _ => Ok(().into()),
    }
}

fn explode(_: &DatabaseTransaction) -> BoxFuture<'_, Result<(), HandlerError>> {
    std::panic::panic_any(Bomb)
}

fn with_traps(settings: &mut RouterSettings) {
    let mut extensions = Extensions::default();
    extensions.register(Arc::new(Traps)).unwrap();
    settings.in_process.extensions = Arc::new(extensions);
    settings.schedule = settings.schedule.with_delays(Vec::new());
    // Longer than any test: a publisher that waited for these handlers would wait for ever.
    settings.in_process.sync_timeout = Duration::from_secs(3600);
    settings.in_process.async_timeout = Duration::from_millis(100);
}

/// What the handler does, the reason of the dead letter, and a part of its error.
const SYNC: [(&str, &str, &str); 11] = [
    ("display", "RETRIES_EXHAUSTED", "Display panics"),
    ("permanent display", "PERMANENT_ERROR", "Display panics"),
    ("source", "RETRIES_EXHAUSTED", "source panics"),
    ("own source", "RETRIES_EXHAUSTED", "wrong: wrong: "),
    ("long", "RETRIES_EXHAUSTED", "long long "),
    ("error dropped", "RETRIES_EXHAUSTED", "wrong"),
    ("panic dropped", "RETRIES_EXHAUSTED", "panicked: no message ("),
    (
        "thread",
        "RETRIES_EXHAUSTED",
        "the thread of the handler has ended",
    ),
    (
        "effect dropped",
        "RETRIES_EXHAUSTED",
        "the payload is larger than",
    ),
    ("effect", "RETRIES_EXHAUSTED", "Display panics"),
    ("effect panics", "RETRIES_EXHAUSTED", "panicked: no message ("),
];

on_both_engines!(
    async fn a_lane_and_a_publisher_hear_of_every_end_of_an_attempt(running: Running with with_traps) {
        let workspace = running.ordered_traps().await;
        for (deed, reason, error) in SYNC {
            let trapped = running.order(workspace, "traps.sync", deed);
            let trapped = tokio::time::timeout(Duration::from_secs(30), trapped).await;
            let trapped = trapped.unwrap_or_else(|_| panic!("{deed}: its publisher waits for ever"));
            running.is_dead_with(trapped, deed, reason, error).await;
        }
        let hanging = running.order(workspace, "traps.async", "hang").await;
        let error = "the handler did not finish within 100 ms";
        running.is_dead_with(hanging, "hang", "RETRIES_EXHAUSTED", error).await;
        let behind = running.order(workspace, "traps.sync", "nothing").await;
        assert_eq!(running.attempts(behind, 1).await[0].outcome, "DELIVERED");
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_lane_and_a_publisher_hear_of_an_effect_that_hangs(running: Running with with_traps) {
        let running = running.with_effect_timeout(Duration::from_millis(100)).await;
        let workspace = running.ordered_traps().await;
        let hanging = running.order(workspace, "traps.sync", "effect hangs").await;
        let error = "the effect took longer than";
        running
            .is_dead_with(hanging, "effect hangs", "RETRIES_EXHAUSTED", error)
            .await;
        let behind = running.order(workspace, "traps.sync", "nothing").await;
        assert_eq!(running.attempts(behind, 1).await[0].outcome, "DELIVERED");
        running.stop().await;
    }
);

impl Running {
    /// A workspace in which the traps are installed, with a lane in order.
    async fn ordered_traps(&self) -> WorkspaceId {
        let workspace = self.workspace();
        let traps = self.router.extensions().get("traps").unwrap();
        let new = NewInstallation::in_process("traps", "Traps", traps.patterns(), || Clock.new_uuid());
        let id = new.id;
        self.router.install(workspace, new).await.unwrap();
        let update = InstallationUpdate {
            ordered: Some(true),
            ..InstallationUpdate::default()
        };
        self.change(workspace, id, InstallationChange::Update(update))
            .await;
        workspace
    }

    async fn is_dead_with(
        &self,
        event: pointsman_domain::id::EventId,
        deed: &str,
        reason: &str,
        error: &str,
    ) {
        let letter = self.letter(event).await;
        assert_eq!(letter.reason, reason, "{deed}");
        let told = letter.last_error.unwrap_or_default();
        assert!(told.contains(error), "{deed}: {told}");
        assert!(told.len() < 2100, "{deed}: {} bytes", told.len());
    }
}

on_both_engines!(
    async fn a_change_of_a_host_that_panics_ends_nothing_but_itself(running: Running) {
        let changed = running
            .router
            .write::<(), _>(|_| std::panic::panic_any(Bomb))
            .await;
        assert!(changed.is_err());
        let (workspace, _) = running.installed().await;
        let sent = running.publish(workspace, 1).await;
        running.every_one_arrives(&sent).await;
        running.stop().await;
    }
);
