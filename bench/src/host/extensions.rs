//! The extensions of the host.

use std::{sync::Arc, time::Duration};

use pointsman::extension::{Effect, EventContext, HandlerError, event_handler, extension};
use serde::Deserialize;

use super::seen::Seen;
use crate::time;

/// How long a handler of [`Busy`] computes.
const BUSY_SECONDS: f64 = 2.0;
/// How long an effect of [`Slow`] takes. It is far below the time limit of effects, so that no pause of the machine
/// makes one exceed it.
const SLOW: Duration = Duration::from_millis(150);

/// The member of the payload that the handlers need.
#[derive(Deserialize)]
struct Timed {
    t: u64,
}

/// A healthy extension: its handlers only count.
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

/// An extension whose handlers compute, and never give up their thread meanwhile.
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

/// An extension whose effects are slow.
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
