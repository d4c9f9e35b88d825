//! Idempotency keys: those that are stored, and those of publishes in progress.

use std::collections::HashMap;

use super::{batch::Batch, command::Append, errors::AppendError};
use pointsman_domain::{
    id::{EventId, WorkspaceId},
    idempotency::Recorded,
};

/// A key within its workspace.
pub type KeyName = (WorkspaceId, Box<str>);

/// What an earlier publish has stored under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    pub body_sha256: Vec<u8>,
    pub event_ids: Vec<EventId>,
}

impl StoredKey {
    /// The answer to another publish under the key, which is not recorded.
    pub(crate) fn answer(&self, append: &Append) -> Result<Recorded, AppendError> {
        let same = |body: &[u8]| body == self.body_sha256;
        if !append
            .idempotency
            .as_ref()
            .is_some_and(|key| same(&key.body_sha256))
        {
            return Err(AppendError::KeyReused);
        }
        // The events are the same where a router has sent its publish again, because the first answer was lost.
        let own = append
            .events
            .iter()
            .map(|event| event.id)
            .eq(self.event_ids.iter().copied());
        Ok(Recorded {
            event_ids: self.event_ids.clone(),
            replayed: !own,
        })
    }
}

/// The keys of the appends that the writer has taken and not answered yet. Admission bounds their number.
#[derive(Debug, Default)]
pub(crate) struct KeysInProgress(HashMap<KeyName, Publish>);

/// The publish that has the key.
#[derive(Debug)]
struct Publish {
    first_event: Option<EventId>,
    /// How many of its appends are not answered yet. A router may send a publish again.
    sent: usize,
}

impl KeysInProgress {
    /// Gives the append its key. False where another publish has the key.
    pub(crate) fn take(&mut self, append: &Append) -> bool {
        let Some(name) = append.key_name() else {
            return true;
        };
        let first_event = append.events.first().map(|event| event.id);
        let publish = self.0.entry(name).or_insert(Publish { first_event, sent: 0 });
        if publish.first_event != first_event {
            return false;
        }
        publish.sent += 1;
        true
    }

    /// Takes the key back: the append is answered.
    pub(crate) fn release(&mut self, append: &Append) {
        let Some(name) = append.key_name() else { return };
        let Some(publish) = self.0.get_mut(&name) else {
            return;
        };
        publish.sent -= 1;
        if publish.sent == 0 {
            self.0.remove(&name);
        }
    }
}

impl Append {
    pub(crate) fn key_name(&self) -> Option<KeyName> {
        let idempotency = self.idempotency.as_ref()?;
        Some((self.workspace_id, idempotency.key.clone()))
    }
}

impl Batch {
    /// The keys of its appends.
    pub(crate) fn key_names(&self) -> Vec<KeyName> {
        self.appends
            .iter()
            .filter_map(|staged| staged.append.key_name())
            .collect()
    }
}
