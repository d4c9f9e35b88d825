//! What is read on the writer connection: where a lane stands, and what became of a batch.

use std::collections::{BTreeSet, HashMap};

use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, Statement, Value};

use super::{
    batch::{Batch, StagedAppend, numbered},
    sql::{in_list, power_of_two_chunks},
};
use crate::domain::{
    event::PlatformEvent,
    id::{EventId, InstallationId, WorkspaceId},
    lane::Attachment,
    seq::Seq,
    timestamp::Timestamp,
};

/// Reads where the lane of the installation stands. Runs between batches, so that everything that was
/// queued before is committed.
pub(super) async fn attach(
    connection: &DatabaseConnection,
    installation: InstallationId,
) -> Result<Attachment, DbErr> {
    let backend = connection.get_database_backend();
    let [first] = numbered(backend);
    let one = |sql: String| Statement::from_sql_and_values(backend, sql, [installation.uuid().into()]);
    let cursor = connection
        .query_one_raw(one(format!(
            "SELECT settled_seq, workspace_id, (SELECT MIN(next_attempt_at) FROM ext_delivery_retry r WHERE \
             r.installation_id = c.installation_id) AS next_retry_at FROM ext_delivery_cursor c WHERE \
             installation_id = {first}"
        )))
        .await?
        .ok_or_else(|| DbErr::RecordNotFound(format!("cursor of installation {installation}")))?;
    let settled: i64 = cursor.try_get("", "settled_seq")?;
    let workspace: uuid::Uuid = cursor.try_get("", "workspace_id")?;
    let next_retry_at: Option<i64> = cursor.try_get("", "next_retry_at")?;
    let head = super::reads::head(connection, WorkspaceId::new(workspace)).await?;
    let [first, second, third, fourth] = numbered(backend);
    let values: [Value; 4] = [
        installation.uuid().into(),
        settled.into(),
        installation.uuid().into(),
        settled.into(),
    ];
    let handled = Statement::from_sql_and_values(
        backend,
        format!(
            "SELECT seq FROM ext_delivery_retry WHERE kind = 'LIVE' AND installation_id = {first} AND seq > {second} \
             UNION SELECT seq FROM dead_letter_event WHERE installation_id = {third} AND seq > {fourth}"
        ),
        values,
    );
    let mut seqs = BTreeSet::new();
    for row in connection.query_all_raw(handled).await? {
        seqs.insert(Seq::new(row.try_get("", "seq")?));
    }
    Ok(Attachment {
        settled: Seq::new(settled),
        handled: seqs,
        next_retry_at: next_retry_at.map(Timestamp::from_millis),
        head,
    })
}

/// The highest generation that any lane has settled under.
pub(super) async fn last_generation(connection: &DatabaseConnection) -> Result<i64, DbErr> {
    let sql = "SELECT MAX(generation) AS generation FROM ext_delivery_cursor";
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let row = connection.query_one_raw(statement).await?;
    let generation: Option<i64> = row
        .map(|row| row.try_get("", "generation"))
        .transpose()?
        .flatten();
    Ok(generation.unwrap_or(0))
}

/// The places of those of the events that are in the log.
pub(super) async fn places_of(
    connection: &DatabaseConnection,
    ids: &[EventId],
) -> Result<HashMap<EventId, Seq>, DbErr> {
    let mut found = HashMap::with_capacity(ids.len());
    for chunk in power_of_two_chunks(ids, 512) {
        let values = chunk.iter().map(|id| id.uuid().into()).collect();
        let head = "SELECT id, seq FROM platform_event WHERE id IN";
        let statement = in_list(connection.get_database_backend(), head, "", values);
        for row in connection.query_all_raw(statement).await? {
            found.insert(
                EventId::new(row.try_get("", "id")?),
                Seq::new(row.try_get("", "seq")?),
            );
        }
    }
    Ok(found)
}

impl Batch {
    /// The events that it adds to the log.
    pub(super) fn event_ids(&self) -> Vec<EventId> {
        self.appends
            .iter()
            .flat_map(|staged| staged.append.events.iter().map(|event| event.id))
            .collect()
    }

    /// The heads after this batch, whose events were found in the log.
    pub(super) fn heads_of(&self, places: &HashMap<EventId, Seq>) -> HashMap<WorkspaceId, Seq> {
        let mut heads: HashMap<WorkspaceId, Seq> = HashMap::new();
        for StagedAppend { append, .. } in &self.appends {
            for seq in append.events.iter().filter_map(|event| places.get(&event.id)) {
                let head = heads.entry(append.workspace_id).or_default();
                *head = (*head).max(*seq);
            }
        }
        heads
    }

    /// The batch with its events at the places where they were found.
    pub(super) fn with_events(mut self, places: &HashMap<EventId, Seq>) -> Self {
        for StagedAppend { append, events } in &mut self.appends {
            *events = append
                .events
                .iter()
                .filter_map(|event| places.get(&event.id).map(|seq| (event, *seq)))
                .map(|(event, seq)| PlatformEvent::record(append.workspace_id, seq, event.clone()).into())
                .collect();
        }
        self
    }
}
