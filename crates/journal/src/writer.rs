//! The one writer: gathers what waits while a transaction commits, and commits it with the next.

mod aside;
mod bounds;
mod commit;
mod derived;
mod doubtful;
mod effects;
mod jobs;
mod outage;
mod recovery;
mod slow_effect;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use self::{
    bounds::{TRANSACTION_TIMEOUT, bounded},
    outage::Outage,
    slow_effect::EffectAside,
};
use crate::{
    attempts::AttemptBuffer,
    batch::Batch,
    command::WriterCommand,
    effects::StagedEffect,
    errors::AppendError,
    gather::Gathered,
    health::Health,
    idempotency::KeysInProgress,
    notice::NoticeSink,
    storage::{Connection, HouseKept, Outcome, Storage},
};
use pointsman_clock::Clock;
use pointsman_domain::{
    id::{InstallationId, WorkspaceId},
    seq::Seq,
};

/// How often the engine's time is written while the server runs.
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(10);
/// The pause between two turns of a housekeeping that has much to do.
const HOUSEKEEPING_PAUSE: Duration = Duration::from_millis(250);
/// Jobs of admins run between two batches.
const JOBS_PER_TURN: usize = 8;
/// Heads kept in memory; what is forgotten is read again.
const MAX_HEADS: usize = 100_000;

/// The one that writes. What it does and when is decided here; how it is written, by its storage.
pub struct Writer {
    storage: Box<dyn Storage>,
    commands: mpsc::UnboundedReceiver<WriterCommand>,
    notices: NoticeSink,
    health: Arc<Health>,
    connection: Option<Arc<dyn Connection>>,
    gathered: Gathered,
    /// Heads of the log as committed. This process is the only writer, so that they need no second look.
    heads: HashMap<WorkspaceId, Seq>,
    /// Generations handed out by attach; settlements of any other are refused.
    generations: HashMap<InstallationId, i64>,
    /// Grows with every attach, also across restarts.
    last_generation: i64,
    attempts: AttemptBuffer,
    /// A batch of which nobody knows whether it was committed.
    unresolved: Option<Batch>,
    /// Effects of which nobody knows whether they are durable.
    unresolved_effects: Vec<StagedEffect>,
    /// The slow effect that is worked on beside the writer.
    aside: Option<EffectAside>,
    /// Installations of which effects are marked as done.
    marked: HashSet<InstallationId>,
    /// The idempotency keys of all appends that are gathered, in the transaction or unresolved.
    keys: KeysInProgress,
    outage: Outage,
    /// When the present turn began: whoever waits has waited since then at the least.
    turn_began: Instant,
    /// When the engine's time is to be written next.
    next_housekeeping: Instant,
    clock: Clock,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    pub(crate) fn new(
        storage: Box<dyn Storage>,
        connection: Arc<dyn Connection>,
        last_generation: i64,
        commands: mpsc::UnboundedReceiver<WriterCommand>,
        notices: NoticeSink,
        health: Arc<Health>,
        clock: Clock,
    ) -> Self {
        Self {
            storage,
            commands,
            notices,
            health,
            connection: Some(connection),
            gathered: Gathered::default(),
            heads: HashMap::new(),
            generations: HashMap::new(),
            last_generation,
            attempts: AttemptBuffer::default(),
            unresolved: None,
            unresolved_effects: Vec::new(),
            aside: None,
            marked: HashSet::new(),
            keys: KeysInProgress::default(),
            outage: Outage::default(),
            turn_began: clock.instant(),
            next_housekeeping: clock.instant() + HOUSEKEEPING_EVERY,
            clock,
        }
    }

    /// Runs until it is told to stop, or every handle of the journal is gone.
    pub async fn run(mut self) {
        let mut stopped = None;
        loop {
            if self.connection.is_none() && !self.recover().await {
                break;
            }
            if self.gathered.is_empty() && !self.wait().await {
                break;
            }
            while let Ok(command) = self.commands.try_recv() {
                self.take(command);
            }
            self.turn().await;
            if self.gathered.is_stopping() {
                self.end_slow_effects().await;
            }
            // Without a connection there may be a batch in doubt, which is resolved first.
            if self.connection.is_some()
                && let Some(reply) = self.gathered.take_stop()
            {
                stopped = Some(reply);
                break;
            }
        }
        while self.write_attempts().await {}
        self.keep_house().await;
        self.storage.close(self.connection).await;
        if let Some(reply) = stopped {
            let _ = reply.send(());
        }
    }

    /// Waits for the first command, or until something else is to be done. False when no handle is left.
    async fn wait(&mut self) -> bool {
        let now = self.clock.instant();
        let house = self.next_housekeeping.saturating_duration_since(now);
        let pause = self.attempts.wait(now).map_or(house, |pause| pause.min(house));
        let effects = self.gathered.effects.next_at(now, self.beside());
        let pause = effects.map_or(pause, |at| pause.min(at.saturating_duration_since(now)));
        let worked = EffectAside::worked(self.aside.as_mut());
        tokio::select! {
            biased;
            command = self.commands.recv() => match command {
                Some(command) => self.take(command),
                None => return false,
            },
            // What is due is done at the end of the turn.
            () = worked => {}
            () = sleep(pause) => {}
        }
        true
    }

    /// Puts the command where its turn comes.
    fn take(&mut self, command: WriterCommand) {
        match command {
            WriterCommand::Append(append) if !self.keys.take(&append) => {
                // The publisher may have gone.
                let _ = append.reply.send(Err(AppendError::KeyInUse));
            }
            command => self.gathered.take(command),
        }
    }

    /// One batch, then what waits between batches.
    async fn turn(&mut self) {
        self.turn_began = self.clock.instant();
        let batch = self.gathered.next_batch();
        if !batch.is_empty() {
            self.gathered.effects.others_wrote(self.clock.instant());
            self.commit(batch).await;
        }
        if self.connection.is_some() && !self.gathered.effects.is_empty() {
            self.run_effects().await;
            self.start_aside();
        }
        if self.connection.is_some() && self.aside.is_some() {
            self.finish_aside().await;
        }
        for _ in 0..JOBS_PER_TURN {
            // Attach answers with what is durable, so that it waits for every settlement before it.
            if self.connection.is_none() || self.gathered.has_settlements() {
                break;
            }
            let Some(job) = self.gathered.next_job() else {
                break;
            };
            self.run_job(job).await;
        }
        // What does not end has the connection, which nothing else of this turn is to wait for.
        if !self.tend().await {
            return;
        }
        let now = self.clock.instant();
        if self.attempts.is_due(now) {
            self.write_attempts().await;
        }
        if now >= self.next_housekeeping {
            self.keep_house().await;
        }
    }

    /// Keeps what the storage needs between two batches in order. False where that does not end in time.
    async fn tend(&mut self) -> bool {
        let Some(connection) = self.connection.clone() else {
            return true;
        };
        let ended = timeout(TRANSACTION_TIMEOUT, connection.tend()).await.is_ok();
        if !ended {
            let seconds = TRANSACTION_TIMEOUT.as_secs();
            log::warn!(seconds; "the storage is slow: what is due between two transactions does not end in time");
        }
        ended
    }

    /// Writes the engine's time and deletes some of what has expired.
    async fn keep_house(&mut self) {
        let Some(connection) = self.connection.clone() else {
            return;
        };
        let pause = match bounded(connection.keep_house(self.clock.now())).await {
            Outcome::Committed(kept) => {
                self.outage.over();
                match kept {
                    HouseKept::Partly => HOUSEKEEPING_PAUSE,
                    HouseKept::Done => HOUSEKEEPING_EVERY,
                }
            }
            Outcome::RolledBack(error) => {
                log::error!(error:%; "the housekeeping was refused");
                HOUSEKEEPING_EVERY
            }
            outcome @ (Outcome::Unknown | Outcome::NotBegun) => {
                self.lose_connection("the housekeeping failed");
                // Where it could not begin, what it commits on the next connection tells that this was one loss and
                // not the first of many. Where it has failed itself it may fail again, and take seconds for it.
                match outcome {
                    Outcome::NotBegun if self.outage.is_first() => Duration::ZERO,
                    _ => HOUSEKEEPING_EVERY,
                }
            }
        };
        self.next_housekeeping = self.clock.instant() + pause;
    }

    /// Writes a piece of the history. It is no promise: what cannot be written is dropped with a warning. False where
    /// there was nothing, or nowhere to write it.
    async fn write_attempts(&mut self) -> bool {
        let Some(connection) = self.connection.clone() else {
            return false;
        };
        let Some(piece) = self.attempts.take() else {
            return false;
        };
        match bounded(connection.write_attempts(&piece.rows, piece.was_lost)).await {
            Outcome::Committed(()) => self.outage.over(),
            Outcome::RolledBack(error) => match self.attempts.refused(piece).as_slice() {
                [] => {}
                [row] => {
                    let (workspace, installation, event) =
                        (row.workspace_id, row.installation_id, row.event_id);
                    log::error!(workspace:%, installation:%, event:%, attempt = row.number, error:%;
                        "the database refuses an attempt; it is left out of the history");
                }
                rows => log::error!(rows = rows.len(), error:%;
                    "the database refuses many attempts; these are left out of the history unread"),
            },
            Outcome::Unknown | Outcome::NotBegun => {
                let rows = self.attempts.lost(piece).len();
                if rows > 0 {
                    log::warn!(rows; "attempts could not be recorded");
                }
                self.lose_connection("the history could not be written");
            }
        }
        true
    }
}
