//! The DeadLetterActor: the life of every `dead_letter_event`, from being given up to `REPLAYED` or
//! `DISCARDED`. It writes through the journal and holds nothing that is not durable.

use std::sync::{Arc, Mutex};

use actix::prelude::*;
use tokio::sync::oneshot;

use super::{
    restarts::{Deaths, Fault, SINGLE_ACTOR},
    shared::locked,
};
use crate::{
    clock::Clock,
    domain::{
        id::{DeadLetterId, InstallationId, WorkspaceId},
        lane::{DeliveryKey, GivenUp},
        seq::Seq,
    },
    journal::{
        AttemptRecord, ChangeError, Journal, LetterCommand, NewLetter, ReturnedLetter, SettleCommand,
        SettleError,
    },
};

pub(super) struct DeadLetterActor {
    pub(super) journal: Journal,
    pub(super) clock: Clock,
    /// Its own and those of its predecessors.
    pub(super) deaths: Arc<Mutex<Deaths>>,
}

/// A lane has given up a delivery, or delivered a replay. Answered when it is durable.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct GiveUp {
    pub(super) workspace_id: WorkspaceId,
    pub(super) installation_id: InstallationId,
    pub(super) generation: i64,
    pub(super) extension_key: Arc<str>,
    pub(super) letter: Letter,
    pub(super) attempts: Vec<AttemptRecord>,
    pub(super) reply: oneshot::Sender<Result<(), SettleError>>,
}

/// How a delivery ended that is, or was, a dead letter.
pub(super) enum Letter {
    GivenUp(GivenUp),
    Replayed {
        key: DeliveryKey,
        dead_letter_id: DeadLetterId,
    },
}

/// Deliver the letter's copy of the event once more, to the installation that failed it or to another one
/// of the same extension.
#[derive(Message)]
#[rtype(result = "Result<(), ChangeError>")]
pub(super) struct Replay {
    pub(super) workspace_id: WorkspaceId,
    pub(super) letter: DeadLetterId,
    pub(super) to: Option<InstallationId>,
}

/// Nobody will deliver this one.
#[derive(Message)]
#[rtype(result = "Result<(), ChangeError>")]
pub(super) struct Discard {
    pub(super) workspace_id: WorkspaceId,
    pub(super) letter: DeadLetterId,
}

impl Actor for DeadLetterActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let pause = locked(&self.deaths).pause(self.clock.now());
        if !pause.is_zero() {
            log::error!("the dead letter actor has died and is replaced");
            // Messages wait meanwhile; a lane has no more of them than deliveries in its window.
            ctx.wait(actix::clock::sleep(pause).into_actor(self));
        }
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        // Runs while a panic unwinds, too: nothing here can panic.
        if std::thread::panicking() {
            locked(&self.deaths).died(Fault::Own, &SINGLE_ACTOR, self.clock.now());
        }
    }
}

impl Handler<GiveUp> for DeadLetterActor {
    type Result = ();

    fn handle(&mut self, give_up: GiveUp, _: &mut Self::Context) {
        let now = self.clock.now();
        let (settled, letter) = match give_up.letter {
            Letter::Replayed { key, dead_letter_id } => {
                // A settlement at zero moves no cursor.
                (
                    Seq::ZERO,
                    LetterCommand::Replayed {
                        id: dead_letter_id,
                        key,
                        at: now,
                    },
                )
            }
            Letter::GivenUp(given_up) => (given_up.settled, self.letter(given_up, give_up.extension_key)),
        };
        // The journal answers the lane; where this actor dies before, the lane sees its reply dropped.
        self.journal.settle(SettleCommand {
            workspace_id: give_up.workspace_id,
            installation_id: give_up.installation_id,
            generation: give_up.generation,
            settled,
            park: Vec::new(),
            remove: Vec::new(),
            letters: vec![letter],
            attempts: give_up.attempts,
            reply: give_up.reply,
        });
    }
}

impl DeadLetterActor {
    fn letter(&self, given_up: GivenUp, extension_key: Arc<str>) -> LetterCommand {
        let failed_at = self.clock.now();
        match given_up.dead_letter_id {
            Some(id) => LetterCommand::Return(Box::new(ReturnedLetter {
                id,
                attempts: given_up.attempts,
                key: given_up.key,
                reason: given_up.reason,
                last_status: given_up.last_status,
                last_error: given_up.last_error,
                failed_at,
            })),
            None => LetterCommand::Write(Box::new(NewLetter {
                id: DeadLetterId::new(self.clock.new_uuid()),
                extension_key,
                event: given_up.event,
                key: given_up.key,
                reason: given_up.reason,
                attempts: given_up.attempts,
                last_status: given_up.last_status,
                last_error: given_up.last_error,
                failed_at,
            })),
        }
    }
}

impl Handler<Replay> for DeadLetterActor {
    type Result = ResponseFuture<Result<(), ChangeError>>;

    /// Detached: the transaction decides between two replays of one letter, not the order of messages.
    fn handle(&mut self, replay: Replay, _: &mut Self::Context) -> Self::Result {
        let journal = self.journal.clone();
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
        let journal = self.journal.clone();
        Box::pin(async move { journal.discard(discard.workspace_id, discard.letter).await })
    }
}
