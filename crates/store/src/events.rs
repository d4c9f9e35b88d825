//! Reads of the log off the hot path. The journal writes it.

mod exceptions;
mod filter;
mod page;
mod payload;
mod positions;

pub use self::{
    filter::{EventFilter, EventStatus},
    page::{EventPage, MAX_BYTES_LOOKED_AT, MAX_LOOKED_AT, PageRequest, page},
    payload::{PayloadMember, PayloadText, WantedError},
};

use entity::{
    platform_event::{Column, Entity, Model},
    workspace_log,
};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use pointsman_domain::{
    event::{Cause, NewEvent, PlatformEvent},
    event_key::EventKey,
    id::{EventId, WorkspaceId},
    seq::Seq,
    timestamp::Timestamp,
};

/// # Errors
/// When the database fails.
pub async fn find(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    id: EventId,
) -> Result<Option<PlatformEvent>, DbErr> {
    let row = Entity::find()
        .filter(Column::Id.eq(id.uuid()))
        .filter(Column::WorkspaceId.eq(workspace.uuid()))
        .one(conn)
        .await?;
    Ok(row.map(recorded))
}

/// The position of an event in the log of the workspace, where it is there.
async fn position(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    id: EventId,
) -> Result<Option<Seq>, DbErr> {
    let seq: Option<i64> = Entity::find()
        .select_only()
        .column(Column::Seq)
        .filter(Column::Id.eq(id.uuid()))
        .filter(Column::WorkspaceId.eq(workspace.uuid()))
        .into_tuple()
        .one(conn)
        .await?;
    Ok(seq.map(Seq::new))
}

/// What decides whether an event is due, without its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading {
    pub seq: Seq,
    pub event_key: EventKey,
    pub occurred_at: Timestamp,
}

/// The headings of the events in `(after, through]`, oldest first, at most `limit`.
///
/// # Errors
/// When the database fails.
pub async fn headings(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    after: Seq,
    through: Seq,
    limit: u64,
) -> Result<Vec<Heading>, DbErr> {
    let rows: Vec<(i64, String, i64)> = Entity::find()
        .select_only()
        .columns([Column::Seq, Column::EventKey, Column::OccurredAt])
        .filter(Column::WorkspaceId.eq(workspace.uuid()))
        .filter(Column::Seq.gt(after.get()))
        .filter(Column::Seq.lte(through.get()))
        .order_by_asc(Column::Seq)
        .limit(limit)
        .into_tuple()
        .all(conn)
        .await?;
    Ok(rows
        .into_iter()
        .map(|(seq, key, occurred_at)| Heading {
            seq: Seq::new(seq),
            event_key: EventKey::from_stored(key),
            occurred_at: Timestamp::from_millis(occurred_at),
        })
        .collect())
}

/// The position of the workspace's newest event, also where it is pruned; [`Seq::ZERO`] where there was none.
///
/// # Errors
/// When the database fails.
pub async fn head(conn: &impl ConnectionTrait, workspace: WorkspaceId) -> Result<Seq, DbErr> {
    let newest: Option<i64> = Entity::find()
        .select_only()
        .column(Column::Seq)
        .filter(Column::WorkspaceId.eq(workspace.uuid()))
        .order_by_desc(Column::Seq)
        .limit(1)
        .into_tuple()
        .one(conn)
        .await?;
    match newest {
        Some(newest) => Ok(Seq::new(newest)),
        None => pruned_through(conn, workspace).await,
    }
}

/// How far the log of the workspace is pruned; [`Seq::ZERO`] where all of it is there.
///
/// # Errors
/// When the database fails.
pub async fn pruned_through(conn: &impl ConnectionTrait, workspace: WorkspaceId) -> Result<Seq, DbErr> {
    let log = workspace_log::Entity::find_by_id(workspace.uuid())
        .one(conn)
        .await?;
    Ok(log.map_or(Seq::ZERO, |log| Seq::new(log.pruned_through)))
}

fn recorded(row: Model) -> PlatformEvent {
    let ids = row.causation_id.zip(row.correlation_id);
    let cause = ids.map(|(causation, correlation)| Cause {
        causation_id: EventId::new(causation),
        correlation_id: EventId::new(correlation),
        depth: u32::try_from(row.causation_depth).unwrap_or(u32::MAX),
    });
    let event = NewEvent {
        id: EventId::new(row.id),
        event_key: EventKey::from_stored(row.event_key),
        schema_version: row.schema_version.map(Into::into),
        actor: row.actor.map(Into::into),
        payload: row.payload.into(),
        occurred_at: Timestamp::from_millis(row.occurred_at),
        traceparent: row.traceparent,
        cause,
    };
    PlatformEvent::record(WorkspaceId::new(row.workspace_id), Seq::new(row.seq), event)
}

#[cfg(test)]
mod tests;
