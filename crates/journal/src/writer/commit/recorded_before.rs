//! Appends whose events are recorded already: what is stored is their answer, and nothing is written.

use std::collections::HashSet;

use sea_orm::DbErr;
use tokio::time::{error::Elapsed, timeout};

use crate::{
    batch::{Batch, StagedAppend},
    command::Append,
    errors::AppendError,
    storage::Connection,
    writer::bounds::TRANSACTION_TIMEOUT,
};
use pointsman_domain::{id::EventId, idempotency::Recorded, timestamp::Timestamp};

/// Takes the appends whose idempotency key is stored at `now` out of the batch, each with its answer. Without keys the
/// storage is not asked.
pub(super) async fn take_known_keys(
    connection: &dyn Connection,
    batch: &mut Batch,
    now: Timestamp,
) -> Result<Vec<(Append, Result<Recorded, AppendError>)>, DbErr> {
    let mut known = Vec::new();
    let names = batch.key_names();
    if names.is_empty() {
        return Ok(known);
    }
    let found = timeout(TRANSACTION_TIMEOUT, connection.stored_keys(names, now))
        .await
        .map_err(too_long)??;
    for index in (0..batch.appends.len()).rev() {
        let name = batch.appends[index].append.key_name();
        let Some(stored) = name.and_then(|name| found.get(&name)) else {
            continue;
        };
        let append = batch.appends.remove(index).append;
        let answer = stored.answer(&append);
        known.push((append, answer));
    }
    Ok(known)
}

/// Answers the derived appends that are recorded already, and takes them out of the batch: a handler that is run again
/// publishes events of the same ids again. Returns the appends that repeat another of this batch. They wait for the
/// next batch, which finds them recorded or writes them. Without derived appends the storage is not asked.
pub(super) async fn answer_derived(connection: &dyn Connection, batch: &mut Batch) -> Result<Batch, DbErr> {
    let mut repeats = Batch::default();
    let ids: Vec<EventId> = batch.appends.iter().flat_map(derived_ids).collect();
    if ids.is_empty() {
        return Ok(repeats);
    }
    let found = timeout(TRANSACTION_TIMEOUT, connection.positions_of(ids))
        .await
        .map_err(too_long)??;
    let mut written = HashSet::new();
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
    Ok(repeats)
}

/// Whether all events of the append are in the log. None where the connection does not say.
pub(super) async fn are_recorded(connection: &dyn Connection, append: &Append) -> Option<bool> {
    let ids = append.events.iter().map(|event| event.id).collect();
    match timeout(TRANSACTION_TIMEOUT, connection.positions_of(ids)).await {
        Ok(Ok(found)) => Some(append.events.iter().all(|event| found.contains_key(&event.id))),
        Ok(Err(_)) | Err(_) => None,
    }
}

fn derived_ids(staged: &StagedAppend) -> impl Iterator<Item = EventId> {
    let Append { derived, events, .. } = &staged.append;
    events.iter().filter(|_| *derived).map(|event| event.id)
}

fn too_long(_: Elapsed) -> DbErr {
    DbErr::Custom("the look-up took too long".to_owned())
}
