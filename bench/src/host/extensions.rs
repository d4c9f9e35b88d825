//! The extensions of the host.

use std::{sync::Arc, time::Duration};

use pointsman::extension::{Effect, EventContext, HandlerError, event_handler, extension};
use serde::Deserialize;

use super::seen::Seen;
use crate::time;

/// How long a handler of [`Busy`] computes.
const BUSY_SECONDS: f64 = 2.0;
/// How long an effect of [`Slow`] takes, which is well below what is allowed to one: no stall of the machine ends it.
const SLOW: Duration = Duration::from_millis(150);

/// As much of a payload as matters here.
#[derive(Deserialize)]
struct Timed {
    t: u64,
}

/// Healthy: its handlers count.
pub(super) struct Counter(pub(super) Arc<Seen>);

#[extension(key = "counter")]
impl Counter {
    #[event_handler(event_key = "bench.sync")]
    async fn sync(&self, event: Timed, _: EventContext) -> Result<(), HandlerError> {
        self.0.sync.note(event.t);
        Ok(())
    }

    #[event_handler(event_key = "bench.async", async = true)]
    async fn asynchronous(&self, event: Timed, _: EventContext) -> Result<(), HandlerError> {
        self.0.asynchronous.note(event.t);
        Ok(())
    }
}

/// Its handlers compute and give their thread to nobody.
pub(super) struct Busy(pub(super) Arc<Seen>);

#[extension(key = "busy")]
impl Busy {
    #[event_handler(event_key = "bench.busy", async = true)]
    async fn compute(&self, event: Timed, _: EventContext) -> Result<(), HandlerError> {
        let start = time::nanos();
        while time::seconds(start, time::nanos()) < BUSY_SECONDS {
            std::hint::spin_loop();
        }
        self.0.busy.note(event.t);
        Ok(())
    }
}

/// Its effects are slow.
pub(super) struct Slow(pub(super) Arc<Seen>);

#[extension(key = "slow")]
impl Slow {
    #[event_handler(event_key = "bench.slow", async = true)]
    async fn write(&self, event: Timed, _: EventContext) -> Result<Effect, HandlerError> {
        let seen = Arc::clone(&self.0);
        Ok(Effect::new(move |_| {
            Box::pin(async move {
                tokio::time::sleep(SLOW).await;
                seen.slow.note(event.t);
                Ok(())
            })
        }))
    }
}
