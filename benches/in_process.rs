//! Events through a handler in this process: `cargo bench --bench in_process`, with `POINTSMAN__DATABASE__URL` for
//! another database than an SQLite file of its own. Each figure is that of one closed loop of 64 publishers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use pointsman::{
    clock::Clock,
    config::Config,
    domain::{
        event::NewEvent,
        event_key::EventKey,
        id::{EventId, WorkspaceId},
        installation::NewInstallation,
    },
    extension::{EventContext, HandlerError, event_handler, extension},
    router::EventRouter,
};
use tokio::sync::Notify;

const PUBLISHERS: usize = 64;
const LASTING: Duration = Duration::from_secs(5);
const PAYLOAD: &str = r#"{"dealId":"deal-123","amount":"5000.00","currency":"USD"}"#;

#[derive(Default)]
struct Counts {
    sync: AtomicU64,
    asynchronous: AtomicU64,
    handled: Notify,
}

struct Counter(Arc<Counts>);

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "what counts is that it is read")]
struct Deal {
    deal_id: String,
    amount: String,
    currency: String,
}

#[extension(key = "counter")]
impl Counter {
    #[event_handler(event_key = "bench.sync")]
    async fn count_sync(&self, _: Deal, _: EventContext) -> Result<(), HandlerError> {
        self.0.sync.fetch_add(1, Ordering::Relaxed);
        self.0.handled.notify_one();
        Ok(())
    }

    #[event_handler(event_key = "bench.async", async = true)]
    async fn count_async(&self, _: Deal, _: EventContext) -> Result<(), HandlerError> {
        self.0.asynchronous.fetch_add(1, Ordering::Relaxed);
        self.0.handled.notify_one();
        Ok(())
    }
}

fn main() {
    actix_web::rt::System::new().block_on(run());
}

#[expect(clippy::print_stdout, reason = "this is what the bench is for")]
async fn run() {
    let folder = std::env::temp_dir().join(format!("pointsman-bench-{}", Clock.new_uuid()));
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    let own = format!("sqlite://{}/bench.db", folder.display());
    let url = std::env::var("POINTSMAN__DATABASE__URL").unwrap_or(own);
    let engine = url.split(':').next().unwrap_or_default().to_owned();
    let environment = [
        ("POINTSMAN__DATABASE__URL".to_owned(), url),
        // Hexadecimal digits of no meaning: nothing is sealed here.
        ("POINTSMAN__AUTH__COOKIE_KEY".to_owned(), "0".repeat(128)),
    ];
    let config = Config::from_sources(None, environment).expect("the settings are allowed");
    let counts = Arc::new(Counts::default());
    let builder = EventRouter::builder(config).extension(Counter(Arc::clone(&counts)));
    let router = builder.start().await.expect("the router starts");
    let workspace = WorkspaceId::new(Clock.new_uuid());
    let counter = router.extensions().get("counter").expect("it is registered");
    let new = NewInstallation::in_process("counter", "Counter", counter.patterns(), || Clock.new_uuid());
    router.install(workspace, new).await.expect("it can be installed");
    println!(
        "{engine}, {PUBLISHERS} publishers in a closed loop, {} s each",
        LASTING.as_secs()
    );
    for (key, count) in [
        ("bench.sync", &counts.sync),
        ("bench.async", &counts.asynchronous),
    ] {
        let start = Clock.instant();
        let published = flood(&router, workspace, key).await;
        let publishing = Clock.elapsed(start).as_secs_f64();
        while count.load(Ordering::Relaxed) < published {
            counts.handled.notified().await;
        }
        let handling = Clock.elapsed(start).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate is no exact number")]
        let rate = |seconds: f64| published as f64 / seconds;
        println!(
            "{key}: {:.0} published a second, {:.0} handled a second",
            rate(publishing),
            rate(handling)
        );
    }
    router.stop(Duration::from_secs(10)).await;
    // It is temporary anyway.
    let _ = std::fs::remove_dir_all(folder);
}

/// How many were acknowledged.
async fn flood(router: &EventRouter, workspace: WorkspaceId, key: &str) -> u64 {
    let start = Clock.instant();
    let publishers = (0..PUBLISHERS).map(|_| async {
        let mut published = 0;
        while Clock.elapsed(start) < LASTING {
            let event = NewEvent {
                id: EventId::new(Clock.new_uuid()),
                event_key: EventKey::parse(key).expect("it has two segments"),
                schema_version: None,
                actor: None,
                payload: PAYLOAD.into(),
                occurred_at: Clock.wall(),
                traceparent: None,
                cause: None,
            };
            router
                .publish(workspace, event, None)
                .await
                .expect("it is recorded");
            published += 1;
        }
        published
    });
    futures_util::future::join_all(publishers).await.into_iter().sum()
}
