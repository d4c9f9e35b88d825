//! Events whose id follows from what made them: a handler that is run again publishes them again.

use std::collections::HashSet;

use sea_orm::DbErr;
use tokio::time::timeout;

use super::{Writer, bounds::TRANSACTION_TIMEOUT};
use crate::{
    batch::{Batch, StagedAppend},
    command::Append,
    storage::Connection,
};
use pointsman_domain::id::EventId;

impl Writer {
    /// Answers the derived appends that are recorded already, and takes them out of the batch. One that repeats
    /// another of this batch waits for the next, which finds it recorded or writes it. Without derived appends the
    /// storage is not asked.
    pub(super) async fn answer_derived(
        &mut self,
        connection: &dyn Connection,
        batch: &mut Batch,
    ) -> Result<(), DbErr> {
        let ids: Vec<EventId> = batch.appends.iter().flat_map(derived_ids).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let found = timeout(TRANSACTION_TIMEOUT, connection.places_of(ids))
            .await
            .map_err(|_| DbErr::Custom("the look-up took too long".to_owned()))??;
        let mut written = HashSet::new();
        let mut repeats = Batch::default();
        for staged in std::mem::take(&mut batch.appends) {
            let ids: Vec<EventId> = derived_ids(&staged).collect();
            if !ids.is_empty() && ids.iter().all(|id| found.contains_key(id)) {
                staged.append.recorded_before();
            } else if ids.iter().any(|id| written.contains(id)) {
                repeats.appends.push(staged);
            } else {
                written.extend(ids);
                batch.appends.push(staged);
            }
        }
        self.gathered.put_back(repeats);
        Ok(())
    }
}

fn derived_ids(staged: &StagedAppend) -> impl Iterator<Item = EventId> {
    let Append { derived, events, .. } = &staged.append;
    events.iter().filter(|_| *derived).map(|event| event.id)
}
