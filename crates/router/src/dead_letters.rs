//! The DeadLetterActor: the life of every `dead_letter_event`, from being given up to `REPLAYED` or
//! `DISCARDED`. It writes through the journal and holds nothing that is not durable.

use std::fmt;

use std::sync::{Arc, Mutex};

use actix::prelude::*;
use tokio::sync::oneshot;

use super::{
    lines::{Line, Lines},
    lock::locked,
    mail::dead_letters::{ChangeLetter, Discard, Replay},
    restarts::{Deaths, Fault, SINGLE_ACTOR},
};
use pointsman_clock::Clock;
use pointsman_domain::{
    attempt::DeadLetterReason,
    event::PlatformEvent,
    id::{DeadLetterId, InstallationId, WorkspaceId},
    lane::LetterChange,
    seq::Seq,
};
use pointsman_journal::{ChangeError, Journal, LetterCommand, SettleCommand, SettleError};

/// What the actor is made of.
pub(crate) struct DeadLetterParts {
    pub(crate) journal: Journal,
    pub(crate) clock: Clock,
    /// The deaths of this actor and of its predecessors.
    pub(crate) deaths: Arc<Mutex<Deaths>>,
    pub(crate) lines: Arc<Lines>,
}

pub struct DeadLetterActor(DeadLetterParts);

impl fmt::Debug for DeadLetterActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetterActor").finish_non_exhaustive()
    }
}

impl DeadLetterActor {
    pub(crate) const fn new(parts: DeadLetterParts) -> Self {
        Self(parts)
    }
}

impl Actor for DeadLetterActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let pause = locked(&self.0.deaths).pause(self.0.clock.now());
        if !pause.is_zero() {
            log::error!("the dead letter actor has died and is replaced");
            // Messages wait meanwhile. A lane has at most one for each delivery in its window.
            ctx.wait(actix::clock::sleep(pause).into_actor(self));
        }
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        // Runs while a panic unwinds, too: nothing here can panic.
        if std::thread::panicking() {
            locked(&self.0.deaths).died(Fault::Own, &SINGLE_ACTOR, self.0.clock.now());
        }
    }
}

impl Handler<ChangeLetter> for DeadLetterActor {
    type Result = ();

    fn handle(&mut self, message: ChangeLetter, _: &mut Self::Context) {
        let (workspace_id, installation_id) = (message.workspace_id, message.installation_id);
        let extension_key = message.extension_key;
        let (id, settled, reply) = match &message.change {
            // A settlement at position zero does not move the cursor.
            LetterChange::Replayed { dead_letter_id, .. } => (*dead_letter_id, Seq::ZERO, message.reply),
            LetterChange::GivenUp(given_up) => {
                let id = given_up
                    .dead_letter_id
                    .unwrap_or_else(|| DeadLetterId::new(self.0.clock.new_uuid()));
                let line = LetterLine {
                    workspace_id,
                    installation_id,
                    extension_key: Arc::clone(&extension_key),
                    letter: id,
                    event: Arc::clone(&given_up.event),
                    reason: given_up.reason,
                    attempts: given_up.attempts,
                };
                let reply = line.once_durable(message.reply, Arc::clone(&self.0.lines));
                (id, given_up.settled, reply)
            }
        };
        let letter = LetterCommand {
            id,
            extension_key,
            change: message.change,
            at: self.0.clock.now(),
        };
        // Where the journal ends before it answers, the lane's reply is dropped.
        self.0.journal.settle(SettleCommand {
            workspace_id,
            installation_id,
            generation: message.generation,
            settled,
            park: Vec::new(),
            remove: Vec::new(),
            letters: vec![letter],
            attempts: message.attempts,
            reply,
        });
    }
}

/// The line of the log about a letter.
struct LetterLine {
    workspace_id: WorkspaceId,
    installation_id: InstallationId,
    extension_key: Arc<str>,
    letter: DeadLetterId,
    event: Arc<PlatformEvent>,
    reason: DeadLetterReason,
    attempts: u32,
}

impl LetterLine {
    /// The reply for the journal. Its answer is passed on to the lane and, if the letter is durable, told in the log. A
    /// task of its own does so, so that the lane is answered even where the actor has died.
    fn once_durable(
        self,
        lane: oneshot::Sender<Result<(), SettleError>>,
        lines: Arc<Lines>,
    ) -> oneshot::Sender<Result<(), SettleError>> {
        let (reply, answer) = oneshot::channel::<Result<(), SettleError>>();
        actix::spawn(async move {
            // A journal that has ended drops its reply; the lane's is dropped with this task.
            let Ok(written) = answer.await else { return };
            if written.is_ok() {
                self.tell(&lines);
            }
            // The lane may have gone.
            let _ = lane.send(written);
        });
        reply
    }

    fn tell(&self, lines: &Arc<Lines>) {
        let (workspace, installation) = (self.workspace_id, self.installation_id);
        let Some(left_out) = lines.may_say(Line::DeadLetter, workspace, installation) else {
            return;
        };
        log::warn!(
            workspace:%, installation:%, extension = &*self.extension_key, event:% = self.event.id,
            event_key = self.event.event_key.as_str(), letter:% = self.letter, reason = self.reason.as_str(),
            attempts = self.attempts, left_out;
            "a delivery has become a dead letter"
        );
    }
}

impl Handler<Replay> for DeadLetterActor {
    type Result = ResponseFuture<Result<(), ChangeError>>;

    /// Detached: the transaction decides which of two replays of one letter is made, not the order of messages.
    fn handle(&mut self, replay: Replay, _: &mut Self::Context) -> Self::Result {
        let journal = self.0.journal.clone();
        Box::pin(async move {
            journal
                .start_replay(replay.workspace_id, replay.letter, replay.to)
                .await
        })
    }
}

impl Handler<Discard> for DeadLetterActor {
    type Result = ResponseFuture<Result<(), ChangeError>>;

    fn handle(&mut self, discard: Discard, _: &mut Self::Context) -> Self::Result {
        let journal = self.0.journal.clone();
        Box::pin(async move { journal.discard(discard.workspace_id, discard.letter).await })
    }
}
