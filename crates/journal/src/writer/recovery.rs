//! Without a connection: the writer seeks a new one, each attempt after a longer pause.
//!
//! The first attempt replaces a connection that was cut while nobody used it, or that a restart of the database has
//! ended. Such a loss stays hidden: callers go on waiting, and work that is known not to be recorded is written a
//! second time, all within 3 s (`UNKNOWN_PATIENCE`). Once the first attempt has failed, the database is away: callers
//! that wait and callers that come are refused at once.

use std::pin::pin;

use super::{
    Writer,
    deadline::Deadline,
    reconnect::{Restored, Traces, reconnect},
};

/// How long callers wait for the recovery.
struct Patience {
    /// The publishers of the batch in doubt wait for their answer until this time. None once they have been refused.
    doubt: Deadline,
    /// New commands are queued until this time, as if there were a connection. None once they are refused.
    hidden: Deadline,
}

impl Writer {
    /// Seeks a new connection until there is one. False where the journal is to end without.
    pub(super) async fn recover(&mut self) -> bool {
        let now = self.clock.instant();
        let mut patience = Patience {
            doubt: Deadline::new(self.commits.doubt_until(now), now),
            hidden: Deadline::new(self.connection.take_hidden_until(), now),
        };
        loop {
            match self.attempt(&mut patience).await {
                None => return false,
                Some(Ok(restored)) => {
                    self.resume(restored, &patience);
                    return true;
                }
                Some(Err(cause)) => {
                    patience.hidden.end();
                    self.connection.attempt_failed(&cause);
                    if self.inbox.is_stopping() {
                        return false;
                    }
                }
            }
        }
    }

    /// Makes one attempt, and receives commands meanwhile. None where no handle of the journal is left.
    async fn attempt(&mut self, patience: &mut Patience) -> Option<Result<Restored, String>> {
        let traces = Traces {
            events: self.commits.events_in_doubt(),
            effects: self.effects.traces_in_doubt(),
        };
        let (pause, connect) = (self.connection.pause(), self.connection.connect());
        let mut attempt = pin!(reconnect(pause, connect, traces, self.clock));
        loop {
            if patience.hidden.until().is_none() {
                self.refuse_waiting();
            }
            tokio::select! {
                biased;
                restored = &mut attempt => return Some(restored),
                () = patience.doubt.pass() => self.commits.refuse_in_doubt(),
                () = patience.hidden.pass() => self.connection.show_unreachable("it does not answer"),
                command = self.inbox.receive() => self.take(command?),
            }
        }
    }

    /// Refuses publishers, effects and changes: there is no connection. Settlements go on waiting for it.
    fn refuse_waiting(&mut self) {
        self.commits.refuse_waiting();
        self.effects.refuse_waiting();
        self.jobs.refuse_waiting();
        self.rests.forget_waiting();
    }

    /// There is a connection again: what was in doubt is answered or done again, and everything goes on.
    fn resume(&mut self, restored: Restored, patience: &Patience) {
        let waits_until = patience.doubt.until();
        self.commits.resolve(
            &restored.positions,
            waits_until,
            &mut self.logs,
            &mut self.history,
        );
        self.effects.resolve(&restored.effects_done, &mut self.lanes);
        self.connection.replace(restored.connection);
        // A deletion may have been committed without an answer.
        for workspace in restored.deleted {
            if self.lanes.delete(workspace) {
                self.logs.deleted(workspace);
            }
        }
        self.logs.reconnected();
    }
}
