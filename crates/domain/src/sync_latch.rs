//! What a publisher waits for once its event is durable: the synchronous handlers of the event.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::{handler_name::HandlerName, id::InstallationId};

/// One handler of one installation.
pub type Awaited = (InstallationId, HandlerName);

/// Travels with the event. It opens once the awaited handlers are decided and all of them have arrived. It also opens
/// when its last copy is dropped, so that a publisher never waits forever.
pub struct SyncLatch(Mutex<State>);

#[derive(Default)]
struct State {
    /// `awaited` is complete: the handlers to wait for are decided.
    decided: bool,
    awaited: BTreeSet<Awaited>,
    open: Option<oneshot::Sender<()>>,
}

/// The publisher's end: completes when the latch opens.
#[derive(Debug)]
pub struct Opened(oneshot::Receiver<()>);

impl Opened {
    pub async fn wait(self) {
        // Dropped with the last copy: there is no one left to arrive.
        let _ = self.0.await;
    }
}

impl SyncLatch {
    pub fn new() -> (Arc<Self>, Opened) {
        let (open, opened) = oneshot::channel();
        let state = State {
            open: Some(open),
            ..State::default()
        };
        (Arc::new(Self(Mutex::new(state))), Opened(opened))
    }

    /// Sets the handlers to wait for; called once, before any of them arrives.
    pub fn decide(&self, awaited: impl IntoIterator<Item = Awaited>) {
        let mut state = self.state();
        state.awaited.extend(awaited);
        state.decided = true;
        state.open_if_done();
    }

    /// Stops waiting for this handler. Arriving twice, or without being awaited, has no effect.
    pub fn arrive(&self, arrived: Awaited) {
        let mut state = self.state();
        if state.awaited.remove(&arrived) {
            state.open_if_done();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No panic leaves it half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn open_if_done(&mut self) {
        if self.decided
            && self.awaited.is_empty()
            && let Some(open) = self.open.take()
        {
            // The publisher may have gone.
            let _ = open.send(());
        }
    }
}

impl fmt::Debug for SyncLatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncLatch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use uuid::Uuid;

    use super::*;

    fn awaited(handler: &str) -> Awaited {
        (InstallationId::new(Uuid::nil()), HandlerName::intern(handler))
    }

    #[test]
    fn it_opens_when_all_have_arrived() {
        let (latch, opened) = SyncLatch::new();
        let mut opened = Box::pin(opened.wait());
        latch.decide([awaited("a"), awaited("b")]);
        latch.arrive(awaited("a"));
        latch.arrive(awaited("a"));
        latch.arrive(awaited("c"));
        assert!(opened.as_mut().now_or_never().is_none(), "one is missing");
        latch.arrive(awaited("b"));
        assert!(opened.now_or_never().is_some());
    }

    #[test]
    fn it_opens_at_once_where_nobody_is_waited_for() {
        let (latch, opened) = SyncLatch::new();
        latch.decide([]);
        assert!(opened.wait().now_or_never().is_some());
    }

    #[test]
    fn it_opens_with_its_last_copy() {
        let (latch, opened) = SyncLatch::new();
        latch.decide([awaited("a")]);
        drop(latch);
        assert!(opened.wait().now_or_never().is_some());
    }
}
