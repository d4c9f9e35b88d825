//! The lanes that have attached: which generation may settle, and which installations have marks of effects.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::timeout;

use super::bounds::{TRANSACTION_TIMEOUT, bounded};
use crate::{
    batch::Batch,
    command::Attached,
    effects::StagedEffect,
    errors::SettleError,
    storage::{Connection, Outcome},
};
use pointsman_domain::{
    id::{EventId, InstallationId, WorkspaceId},
    lane::LetterChange,
};

/// For so long after an event was erased, what is settled of it is looked at. Longer than messages are on their way.
const ERASED_FOR: Duration = Duration::from_secs(600);

/// Why a lane is not attached.
pub(super) enum NotAttached {
    /// The rows of the lane itself are at fault.
    Refused,
    /// The connection must not be used any more.
    Lost(&'static str),
}

pub(super) struct Lanes {
    /// The generations that attach has handed out. Settlements of any other are refused.
    generations: HashMap<InstallationId, i64>,
    /// Grows with every attach, also across restarts.
    last_generation: i64,
    /// The installations that have effects marked as done. Their marks are swept once the cursor has passed them.
    marked: HashSet<InstallationId>,
    /// The workspaces that were deleted, those of former starts too while rows of them are left. Nothing is written
    /// there any more.
    deleted: HashSet<WorkspaceId>,
    /// The events whose payloads were erased of late. What lanes have sent before they heard of it is on its way.
    erased: HashMap<EventId, Instant>,
}

impl Lanes {
    pub(super) fn new(last_generation: i64, deleted: Vec<WorkspaceId>) -> Self {
        Self {
            generations: HashMap::new(),
            last_generation,
            marked: HashSet::new(),
            deleted: deleted.into_iter().collect(),
            erased: HashMap::new(),
        }
    }

    /// The workspace is deleted. False where that is known.
    pub(super) fn delete(&mut self, workspace: WorkspaceId) -> bool {
        self.deleted.insert(workspace)
    }

    pub(super) fn is_deleted(&self, workspace: WorkspaceId) -> bool {
        self.deleted.contains(&workspace)
    }

    /// Reads where the lane of the installation stands, and gives it a new generation. The former generation may not
    /// settle any more, also where the attach fails after that.
    pub(super) async fn attach(
        &mut self,
        connection: &dyn Connection,
        installation_id: InstallationId,
    ) -> Result<Attached, NotAttached> {
        match bounded(connection.attach(installation_id)).await {
            Outcome::Committed(attachment) => {
                let generation = self.next_generation(installation_id);
                self.read_marks(connection, installation_id).await?;
                Ok(Attached {
                    generation,
                    attachment,
                })
            }
            // The connection is kept: a fault in the rows of one lane must not be an outage for all.
            Outcome::RolledBack(error) => {
                log::error!(installation:% = installation_id, error:%; "attaching a lane is refused");
                Err(NotAttached::Refused)
            }
            Outcome::NotBegun | Outcome::Unknown => Err(NotAttached::Lost("attaching a lane failed")),
        }
    }

    fn next_generation(&mut self, installation_id: InstallationId) -> i64 {
        self.last_generation += 1;
        self.generations.insert(installation_id, self.last_generation);
        self.last_generation
    }

    /// Reads whether the installation has marks.
    async fn read_marks(
        &mut self,
        connection: &dyn Connection,
        installation_id: InstallationId,
    ) -> Result<(), NotAttached> {
        match timeout(TRANSACTION_TIMEOUT, connection.has_marks(installation_id)).await {
            Ok(Ok(true)) => drop(self.marked.insert(installation_id)),
            Ok(Ok(false)) => drop(self.marked.remove(&installation_id)),
            Ok(Err(_)) | Err(_) => return Err(NotAttached::Lost("the marks of a lane cannot be read")),
        }
        Ok(())
    }

    fn is_current(&self, installation_id: InstallationId, generation: i64) -> bool {
        self.generations.get(&installation_id) == Some(&generation)
    }

    /// The payload of the event was erased just now. Bounded by how many are erased within [`ERASED_FOR`], each of
    /// which is a transaction.
    pub(super) fn erase(&mut self, event: EventId, now: Instant) {
        self.erased
            .retain(|_, at| now.saturating_duration_since(*at) < ERASED_FOR);
        self.erased.insert(event, now);
    }

    /// Takes what is erased out of the settlements of the batch.
    pub(super) fn erase_from(&self, batch: &mut Batch) {
        if self.erased.is_empty() {
            return;
        }
        let is_erased = |event: &EventId| self.erased.contains_key(event);
        for command in &mut batch.settlements {
            for row in command.attempts.iter_mut().filter(|row| is_erased(&row.event_id)) {
                row.erase();
            }
            for row in command.park.iter_mut().filter(|row| is_erased(&row.key.event_id)) {
                row.last_error = None;
            }
            for letter in &mut command.letters {
                if let LetterChange::GivenUp(given_up) = &mut letter.change
                    && is_erased(&given_up.event.id)
                    && !given_up.event.is_erased()
                {
                    given_up.event = Arc::new(given_up.event.erased());
                    given_up.last_error = None;
                }
            }
        }
    }

    /// Whether the effect ends a delivery of a lane that a newer one has replaced, or of an event that
    /// was erased, or its workspace is deleted.
    pub(super) fn is_fenced(&self, effect: &StagedEffect) -> bool {
        let settles = effect.command.settles.as_ref();
        self.is_deleted(effect.command.workspace_id)
            || settles.is_some_and(|settles| self.erased.contains_key(&settles.key.event_id))
            || settles.is_some_and(|settles| !self.is_current(settles.installation_id, settles.generation))
    }

    /// Refuses the settlements of lanes that a newer one has replaced or whose workspace is deleted, and takes them out
    /// of the batch.
    pub(super) fn refuse_fenced(&self, batch: &mut Batch) {
        for index in (0..batch.settlements.len()).rev() {
            let command = &batch.settlements[index];
            let is_current = self.is_current(command.installation_id, command.generation);
            if !is_current || self.is_deleted(command.workspace_id) {
                let command = batch.settlements.remove(index);
                let _ = command.reply.send(Err(SettleError::Fenced));
            }
        }
    }

    /// An effect of the installation is durable, and with it its mark.
    pub(super) fn mark(&mut self, installation_id: InstallationId) {
        self.marked.insert(installation_id);
    }

    /// The installation has no mark any more.
    pub(super) fn unmark(&mut self, installation_id: InstallationId) {
        self.marked.remove(&installation_id);
    }

    /// The installations of the batch's settlements that have marks.
    pub(super) fn marked_of(&self, batch: &Batch) -> HashSet<InstallationId> {
        if self.marked.is_empty() {
            return HashSet::new();
        }
        let settled = batch.settlements.iter().map(|command| command.installation_id);
        settled.filter(|id| self.marked.contains(id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;
    use uuid::Uuid;

    use super::*;
    use crate::command::SettleCommand;
    use pointsman_domain::seq::Seq;

    fn installation(number: u128) -> InstallationId {
        InstallationId::new(Uuid::from_u128(number))
    }

    type Answer = oneshot::Receiver<Result<(), SettleError>>;

    fn settlement(installation_id: InstallationId, generation: i64) -> (SettleCommand, Answer) {
        let (reply, answer) = oneshot::channel();
        let command = SettleCommand {
            workspace_id: WorkspaceId::new(Uuid::nil()),
            installation_id,
            generation,
            settled: Seq::new(1),
            park: Vec::new(),
            remove: Vec::new(),
            letters: Vec::new(),
            attempts: Vec::new(),
            reply,
        };
        (command, answer)
    }

    #[test]
    fn only_the_latest_generation_may_settle() {
        let mut lanes = Lanes::new(7, Vec::new());
        assert_eq!(lanes.next_generation(installation(1)), 8);
        assert_eq!(lanes.next_generation(installation(1)), 9);
        let (former, mut refused) = settlement(installation(1), 8);
        let (latest, mut waiting) = settlement(installation(1), 9);
        let (unattached, mut unknown) = settlement(installation(2), 9);
        let mut batch = Batch {
            settlements: vec![former, latest, unattached],
            ..Batch::default()
        };
        lanes.refuse_fenced(&mut batch);
        assert_eq!(batch.settlements.len(), 1);
        assert_eq!(refused.try_recv(), Ok(Err(SettleError::Fenced)));
        assert_eq!(unknown.try_recv(), Ok(Err(SettleError::Fenced)));
        assert!(waiting.try_recv().is_err(), "it is not answered yet");
    }

    #[test]
    fn a_lane_of_a_deleted_workspace_may_not_settle() {
        let mut lanes = Lanes::new(7, Vec::new());
        assert_eq!(lanes.next_generation(installation(1)), 8);
        assert!(lanes.delete(WorkspaceId::new(Uuid::nil())));
        assert!(!lanes.delete(WorkspaceId::new(Uuid::nil())), "that is known");
        let (latest, mut refused) = settlement(installation(1), 8);
        let mut batch = Batch {
            settlements: vec![latest],
            ..Batch::default()
        };
        lanes.refuse_fenced(&mut batch);
        assert_eq!(refused.try_recv(), Ok(Err(SettleError::Fenced)));
    }

    #[test]
    fn marks_are_swept_only_where_there_are_some() {
        let mut lanes = Lanes::new(0, Vec::new());
        let settlements = [1, 2].map(|number| settlement(installation(number), 1).0);
        let batch = Batch {
            settlements: settlements.into(),
            ..Batch::default()
        };
        assert!(lanes.marked_of(&batch).is_empty());
        lanes.mark(installation(2));
        lanes.mark(installation(3));
        assert_eq!(lanes.marked_of(&batch), [installation(2)].into());
        lanes.unmark(installation(2));
        assert!(lanes.marked_of(&batch).is_empty());
    }
}
