//! A timer of an actor that rings at the earliest time asked for.

use std::time::Duration;

use actix::prelude::*;
use pointsman_domain::timestamp::Timestamp;

/// The shortest pause, so that an alarm that was asked to ring at once does not spin.
pub(crate) const SHORTEST_SLEEP: Duration = Duration::from_millis(1);
/// An alarm rings at least this often: the timers of the runtime stand still while the machine is suspended.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// At most one timer of the actor's context is set at any time. It may ring early: an actor that finds nothing to do
/// sets it anew.
#[derive(Default)]
pub(crate) struct Alarm(Option<(Timestamp, SpawnHandle)>);

impl Alarm {
    /// Rings at `at`, or at the time that was asked for before where that is earlier.
    pub(crate) fn ring_by<A>(
        &mut self,
        at: Timestamp,
        now: Timestamp,
        ctx: &mut Context<A>,
        ring: fn(&mut A, &mut Context<A>),
    ) where
        A: Actor<Context = Context<A>>,
    {
        if self.0.is_none_or(|(set, _)| at < set) {
            self.ring_at(at, now, ctx, ring);
        }
    }

    /// Rings at `at`, whatever was asked for before. `ring` has to call [`Alarm::has_rung`].
    pub(crate) fn ring_at<A>(
        &mut self,
        at: Timestamp,
        now: Timestamp,
        ctx: &mut Context<A>,
        ring: fn(&mut A, &mut Context<A>),
    ) where
        A: Actor<Context = Context<A>>,
    {
        if let Some((_, timer)) = self.0.take() {
            ctx.cancel_future(timer);
        }
        let pause = at.since(now).clamp(SHORTEST_SLEEP, LONGEST_SLEEP);
        self.0 = Some((at, ctx.run_later(pause, ring)));
    }

    /// The timer that was set has come.
    pub(crate) const fn has_rung(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use pointsman_clock::Clock;

    /// Sets its alarm again and again, and counts how often it rings.
    struct Sleeper {
        alarm: Alarm,
        rings: u32,
        /// Told of the rings when the last one has come.
        done: Option<oneshot::Sender<u32>>,
    }

    impl Sleeper {
        fn ring_by(&mut self, in_ms: u64, ctx: &mut Context<Self>) {
            let now = Clock.now();
            let at = now + Duration::from_millis(in_ms);
            self.alarm.ring_by(at, now, ctx, Self::rings);
        }

        fn rings(&mut self, ctx: &mut Context<Self>) {
            self.alarm.has_rung();
            self.rings += 1;
            if self.rings == 1 {
                self.ring_by(200, ctx);
            } else if let Some(done) = self.done.take() {
                let _ = done.send(self.rings);
            }
        }
    }

    impl Actor for Sleeper {
        type Context = Context<Self>;

        fn started(&mut self, ctx: &mut Self::Context) {
            self.ring_by(20, ctx);
            for _ in 0..1_000 {
                self.ring_by(60, ctx);
            }
        }
    }

    #[actix::test]
    async fn asking_for_later_sets_no_second_timer() {
        let (done, rings) = oneshot::channel();
        let sleeper = Sleeper {
            alarm: Alarm::default(),
            rings: 0,
            done: Some(done),
        }
        .start();
        let asked_at = Clock.now();
        assert_eq!(rings.await, Ok(2));
        let slept = Clock.now().since(asked_at);
        assert!(
            slept >= Duration::from_millis(200),
            "a timer that was left rang after {slept:?}"
        );
        drop(sleeper);
    }
}
