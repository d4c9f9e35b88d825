//! The connection of the writer: whether there is one, how a loss is shown, and the slow effect that ends with it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::{
    bounds::TRANSACTION_TIMEOUT,
    outage::Outage,
    running_effect::{RunningEffect, Worked},
};
use crate::{
    effects::{EffectWork, SlowSession, StagedEffect},
    health::{Health, StorageTrouble},
    storage::{ConnectError, Connection, SlowEffects, Storage, WRITE_LOCK_IS_HELD},
};
use pointsman_clock::Clock;

pub(super) struct WriterConnection {
    storage: Box<dyn Storage>,
    /// None while it is lost.
    current: Option<Arc<dyn Connection>>,
    /// The slow effect that runs beside it. The next connection ends its session, so that it is lost with this one.
    slow: Option<RunningEffect>,
    outage: Outage,
    health: Arc<Health>,
    /// When the present cycle of the writer began. Callers are taken to have waited since then.
    cycle_began: Instant,
    clock: Clock,
}

impl WriterConnection {
    pub(super) fn new(
        storage: Box<dyn Storage>,
        connection: Arc<dyn Connection>,
        health: Arc<Health>,
        clock: Clock,
    ) -> Self {
        Self {
            storage,
            current: Some(connection),
            slow: None,
            outage: Outage::default(),
            health,
            cycle_began: clock.instant(),
            clock,
        }
    }

    pub(super) const fn clock(&self) -> Clock {
        self.clock
    }

    pub(super) fn begin_cycle(&mut self) {
        self.cycle_began = self.clock.instant();
    }

    /// The connection, to be used now; none while it is lost.
    pub(super) fn get(&self) -> Option<Arc<dyn Connection>> {
        self.current.clone()
    }

    pub(super) const fn is_up(&self) -> bool {
        self.current.is_some()
    }

    /// It has committed or answered something: it works.
    pub(super) fn answered(&mut self) {
        self.outage.answered();
    }

    /// Throws the connection away. The slow effect beside it is given up.
    pub(super) fn lose(&mut self, cause: &str) {
        if !self.outage.lasts() {
            log::error!("the writer connection is thrown away: {cause}");
        }
        let is_hidden = self.outage.lost(self.clock.instant(), self.cycle_began);
        if !is_hidden {
            self.show_unreachable(cause);
        }
        self.current = None;
        if let Some(slow) = self.slow.take() {
            slow.give_up();
        }
    }

    /// Whether this loss is the first since the connection last worked.
    pub(super) const fn is_first_loss(&self) -> bool {
        self.outage.is_first()
    }

    /// Until when the loss may stay hidden; asked once per loss.
    pub(super) fn take_hidden_until(&mut self) -> Option<Instant> {
        self.outage.take_hidden_until()
    }

    /// Publishers and operators see from now on that the database cannot be reached.
    pub(super) fn show_unreachable(&self, cause: &str) {
        let trouble = if cause.contains(WRITE_LOCK_IS_HELD) {
            StorageTrouble::Locked
        } else {
            StorageTrouble::Unreachable(cause.to_owned())
        };
        self.health.set_writer(Some(trouble));
    }

    /// The pause before the next attempt at a new connection.
    pub(super) fn pause(&self) -> Duration {
        self.outage.pause()
    }

    pub(super) fn connect(&self) -> BoxFuture<'static, Result<Arc<dyn Connection>, ConnectError>> {
        self.storage.connect()
    }

    /// The attempt at a new connection has failed.
    pub(super) fn attempt_failed(&mut self, cause: &str) {
        self.outage.attempt_failed(cause, self.clock.instant());
        self.show_unreachable(cause);
    }

    /// The lost connection is replaced by this one.
    pub(super) fn replace(&mut self, connection: Arc<dyn Connection>) {
        self.current = Some(connection);
        self.health.set_writer(None);
        let seconds = self.outage.ended(self.clock.instant()).as_secs();
        log::info!(seconds; "the writer connection is back");
    }

    /// Keeps the storage in shape between two batches. False where that does not end in time.
    pub(super) async fn tend(&mut self) -> bool {
        let Some(connection) = self.get() else {
            return true;
        };
        let ended = timeout(TRANSACTION_TIMEOUT, connection.tend()).await.is_ok();
        if !ended {
            let seconds = TRANSACTION_TIMEOUT.as_secs();
            log::warn!(seconds; "the storage is slow: what is due between two transactions does not end in time");
        }
        ended
    }

    /// Whether slow effects can be run beside this connection.
    pub(super) fn slow_session(&self) -> SlowSession {
        match self
            .current
            .as_ref()
            .and_then(|connection| connection.slow_effects())
        {
            None => SlowSession::Never,
            Some(_) if self.slow.is_some() => SlowSession::Busy,
            Some(_) => SlowSession::Free,
        }
    }

    /// Whether a slow effect runs beside it, or waits to be committed.
    pub(super) const fn is_beside_effect(&self) -> bool {
        self.slow.is_some()
    }

    /// Where the next slow effect can be started now; none while one is running.
    pub(super) fn free_slow_session(&self) -> Option<Arc<dyn SlowEffects>> {
        let connection = self.current.as_ref().filter(|_| self.slow.is_none());
        connection.and_then(|connection| connection.slow_effects())
    }

    /// Starts the work of a slow effect. None may be running.
    pub(super) fn start_slow(
        &mut self,
        session: Arc<dyn SlowEffects>,
        effect: StagedEffect,
        work: EffectWork,
    ) {
        self.slow = Some(RunningEffect::start(session, effect, work, self.clock));
    }

    /// Waits until a slow effect is running and its work is done.
    pub(super) async fn slow_work_done(&mut self) {
        match &mut self.slow {
            Some(slow) => slow.answer().await,
            None => std::future::pending().await,
        }
    }

    /// The slow effect whose work is done.
    pub(super) fn take_worked(&mut self) -> Option<(StagedEffect, Worked)> {
        let is_done = self.slow.as_mut().is_some_and(RunningEffect::is_done);
        self.slow.take_if(|_| is_done)?.into_worked()
    }

    /// Waits until the slow effect's work is done, and gives the effect up where that takes too long.
    pub(super) async fn end_slow_work(&mut self) {
        let Some(slow) = &mut self.slow else { return };
        let ended = timeout(TRANSACTION_TIMEOUT, slow.answer()).await.is_ok();
        if let Some(slow) = self.slow.take_if(|_| !ended) {
            slow.give_up();
        }
    }

    /// Gives back the claim, and the connection where there is one.
    pub(super) async fn close(self) {
        self.storage.close(self.current).await;
    }
}
