//! Without a connection: a new one is sought, each attempt after a longer pause.
//!
//! A connection that was cut while nobody used it, or that the database's restart has ended, is replaced by the first
//! attempt. Nobody is to see that: what waits goes on waiting for it, what is known not to be recorded is written once
//! more, and all of this within the time that publishers have. Once that attempt has failed the database is away, and
//! what waits and what comes is refused at once.

use std::{
    collections::HashMap,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use super::{
    Writer,
    bounds::TRANSACTION_TIMEOUT,
    doubtful::{self, Doubtful},
};
use crate::{
    batch::Batch,
    effects::EffectEnd,
    errors::StorageUnavailable,
    health::StorageTrouble,
    notice::Notice,
    storage::{ConnectError, Connection},
};
use pointsman_clock::Clock;
use pointsman_domain::{id::EventId, seq::Seq};

/// How long publishers wait to hear what became of a batch whose outcome is unknown, its second writing included; and
/// how long the first attempt at a new connection may take until what waits for it is refused.
const UNKNOWN_PATIENCE: Duration = Duration::from_secs(3);

/// A connection, and what was found of the batch whose outcome was unknown.
struct Restored {
    connection: Arc<dyn Connection>,
    places: HashMap<EventId, Seq>,
    effects_done: Vec<bool>,
}

/// One attempt: the claim first, then the batch whose outcome is unknown, then a write as proof that the storage
/// takes writes.
async fn restore(
    pause: Duration,
    connect: impl Future<Output = Result<Arc<dyn Connection>, ConnectError>>,
    unknown: Vec<EventId>,
    doubtful: Doubtful,
    clock: Clock,
) -> Result<Restored, String> {
    sleep(pause).await;
    let silence = |_| "it does not answer".to_owned();
    let connection = timeout(TRANSACTION_TIMEOUT, connect)
        .await
        .map_err(silence)?
        .map_err(|error| error.to_string())?;
    // Settlements alone are not looked up: they can be written twice without harm.
    let places = if unknown.is_empty() {
        HashMap::new()
    } else {
        timeout(TRANSACTION_TIMEOUT, connection.places_of(unknown))
            .await
            .map_err(silence)?
            .map_err(|error| error.to_string())?
    };
    let effects_done = if doubtful.is_empty() {
        Vec::new()
    } else {
        let done = doubtful::are_done(&*connection, &doubtful).await;
        done.map_err(|error| error.to_string())?
    };
    timeout(TRANSACTION_TIMEOUT, connection.probe(clock.now()))
        .await
        .map_err(silence)?
        .map_err(|error| error.to_string())?;
    Ok(Restored {
        connection,
        places,
        effects_done,
    })
}

impl Writer {
    pub(super) fn lose_connection(&mut self, cause: &str) {
        let now = self.clock.instant();
        if self.outage.since.is_none() {
            log::error!("the writer connection is thrown away: {cause}");
        }
        self.outage.strike(now);
        // Who waits has waited since the turn began.
        let until = self.turn_began + UNKNOWN_PATIENCE;
        self.outage.patient_until = (self.outage.is_first() && until > now).then_some(until);
        if self.outage.patient_until.is_none() {
            self.is_unreachable(cause);
        }
        self.connection = None;
        self.heads.clear();
        // A new connection ends its session.
        if let Some(aside) = self.aside.take() {
            aside.give_up();
        }
    }

    fn is_unreachable(&self, cause: &str) {
        let trouble = StorageTrouble::Unreachable(cause.to_owned());
        self.health.set_writer(Some(trouble));
    }

    /// Seeks a new connection until there is one. False where the journal is to end without.
    pub(super) async fn recover(&mut self) -> bool {
        let start = self.clock.instant();
        let until = self.unresolved.as_ref().map(|batch| batch.again_until);
        let mut doubt_until = until.map(|until| until.unwrap_or(start + UNKNOWN_PATIENCE));
        let mut patient_until = self.outage.patient_until.take();
        let from_now = |until: Option<Instant>| {
            sleep(until.map_or(Duration::ZERO, |until| until.saturating_duration_since(start)))
        };
        let (mut doubt, mut patience) = (pin!(from_now(doubt_until)), pin!(from_now(patient_until)));
        while self.connection.is_none() {
            let unknown = self.unresolved.as_ref().map(Batch::event_ids).unwrap_or_default();
            let pause = self.outage.pause();
            let doubtful = Doubtful::of(&self.unresolved_effects);
            let connect = self.storage.connect();
            let mut attempt = pin!(restore(pause, connect, unknown, doubtful, self.clock));
            let restored = loop {
                if patient_until.is_none() {
                    self.refuse_waiting();
                }
                tokio::select! {
                    biased;
                    restored = &mut attempt => break restored,
                    () = &mut doubt, if doubt_until.is_some() => {
                        doubt_until = None;
                        self.refuse_unresolved();
                    }
                    () = &mut patience, if patient_until.is_some() => {
                        patient_until = None;
                        self.is_unreachable("it does not answer");
                    }
                    command = self.commands.recv() => match command {
                        Some(command) => self.take(command),
                        None => return false,
                    },
                }
            };
            match restored {
                Ok(restored) => self.resume(restored, doubt_until),
                Err(cause) => {
                    patient_until = None;
                    self.still_down(&cause);
                    if self.gathered.is_stopping() {
                        return false;
                    }
                }
            }
        }
        true
    }

    fn still_down(&mut self, cause: &str) {
        let now = self.clock.instant();
        self.outage.strike(now);
        self.outage.tell(cause, now);
        self.is_unreachable(cause);
    }

    /// Publishers and admins are refused at once while there is no database; settlements wait for it.
    fn refuse_waiting(&mut self) {
        for append in self.gathered.take_appends().collect::<Vec<_>>() {
            self.refuse_append(append, StorageUnavailable.into());
        }
        for effect in self.gathered.effects.take_all().collect::<Vec<_>>() {
            // Who asked may have gone.
            let _ = effect.reply.send(EffectEnd::Unavailable);
        }
        while let Some(queued) = self.gathered.next_job() {
            queued.job.refuse();
        }
    }

    /// Publishers of the batch whose outcome is unknown have waited long enough. The batch itself stays until it
    /// is resolved, and its keys stay taken.
    fn refuse_unresolved(&mut self) {
        for staged in self.unresolved.iter_mut().flat_map(|batch| &mut batch.appends) {
            let (nobody, _) = oneshot::channel();
            let reply = std::mem::replace(&mut staged.append.reply, nobody);
            // The publisher may have gone.
            let _ = reply.send(Err(StorageUnavailable.into()));
        }
    }

    /// There is a connection again: the batch in doubt is answered or written once more, and everything goes on. Its
    /// publishers wait until `doubt_until`, if they still do.
    fn resume(&mut self, restored: Restored, doubt_until: Option<Instant>) {
        if let Some(batch) = self.unresolved.take() {
            self.settle_doubt(batch, &restored.places, doubt_until);
        }
        let effects = std::mem::take(&mut self.unresolved_effects);
        self.settle_doubtful_effects(effects, &restored.effects_done);
        self.heads.clear();
        self.connection = Some(restored.connection);
        self.health.set_writer(None);
        let now = self.clock.instant();
        let since = self.outage.since.take();
        let seconds = since.map_or(0, |since| now.saturating_duration_since(since).as_secs());
        self.outage.told_at = None;
        log::info!(seconds; "the writer connection is back");
        (self.notices)(Notice::Reconnected);
    }

    fn settle_doubt(
        &mut self,
        mut batch: Batch,
        places: &HashMap<EventId, Seq>,
        doubt_until: Option<Instant>,
    ) {
        let ids = batch.event_ids();
        if !ids.is_empty() && ids.iter().all(|id| places.contains_key(id)) {
            let heads = batch.heads_of(places);
            // It was committed, which says nothing of the storage now: the pauses go on growing.
            let strikes = self.outage.strikes;
            self.committed(batch.with_events(places), heads);
            self.outage.strikes = strikes;
            return;
        }
        // Written twice they do no harm.
        self.gathered.put_back(Batch {
            settlements: std::mem::take(&mut batch.settlements),
            ..Batch::default()
        });
        let is_first = batch.again_until.is_none();
        match doubt_until.filter(|_| is_first && !batch.appends.is_empty()) {
            Some(_) => self.gathered.write_again(Batch {
                again_until: doubt_until,
                ..batch
            }),
            None => {
                for staged in batch.appends {
                    self.refuse_append(staged.append, StorageUnavailable.into());
                }
            }
        }
    }
}
