//! Reads of dead letters. The `DeadLetterActor` writes them, through the journal.

mod page;

pub use self::page::{
    DeadLetterFilter, HttpStatuses, LetterPage, LetterRequest, MAX_LOOKED_AT, PagePosition, page,
    page_across_workspaces,
};

use entity::dead_letter_event::{Column, Entity, Model};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use serde::{Deserialize, Serialize};

use pointsman_domain::{
    attempt::DeadLetterReason,
    event_key::EventKey,
    id::{DeadLetterId, EventId, InstallationId, WorkspaceId},
    seq::Seq,
    timestamp::Timestamp,
};

/// Where a dead letter is in its life.
#[warn(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeadLetterStatus {
    /// Not delivered; no admin has replayed or discarded it.
    Dead,
    /// A replay is under way.
    Replaying,
    /// Delivered by a replay.
    Replayed,
    /// An admin decided that it is not delivered.
    Discarded,
}

#[warn(missing_docs)]
impl DeadLetterStatus {
    /// All of them, in the order in which a letter can get them.
    pub const ALL: [Self; 4] = [Self::Dead, Self::Replaying, Self::Replayed, Self::Discarded];

    /// As the API and the database write it, such as `DEAD`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "DEAD",
            Self::Replaying => "REPLAYING",
            Self::Replayed => "REPLAYED",
            Self::Discarded => "DISCARDED",
        }
    }

    /// The reverse of `as_str`; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// A delivery that was given up, with its own copy of the event.
#[warn(missing_docs)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// By which it is replayed or discarded.
    pub id: DeadLetterId,
    /// The workspace of the event.
    pub workspace_id: WorkspaceId,
    /// The installation that could not take the event.
    pub installation_id: InstallationId,
    /// The key of the extension that could not take it, kept beyond its uninstallation.
    pub extension_key: String,
    /// The event. Several letters may be of one event: one for each handler or service.
    pub event_id: EventId,
    /// Empty for an external service.
    pub handler: String,
    /// The position of the event in the log of the workspace.
    pub seq: Seq,
    /// The kind of the event.
    pub event_key: EventKey,
    /// The version of the payload's schema, where the publisher has named one.
    pub schema_version: Option<String>,
    /// Who has published the event, where the publisher has named somebody.
    pub actor: Option<String>,
    /// The JSON text as sent; empty where letters are listed.
    pub payload: String,
    /// When the event was accepted.
    pub occurred_at: Timestamp,
    /// Why the delivery was given up; of a replay that failed, the latest reason.
    pub reason: DeadLetterReason,
    /// The attempts made, replays included; 0 where it was never tried.
    pub attempts: i32,
    /// The HTTP status of the last attempt; `None` for a handler, or without an answer. Where the open breaker held the
    /// delivery before any attempt, that of the failure that kept it open.
    pub last_status: Option<i32>,
    /// Why the last attempt failed: one line for a person. Where the breaker held the delivery, also why it was open.
    pub last_error: Option<String>,
    /// When the delivery was given up, for the last time where it was replayed.
    pub failed_at: Timestamp,
    /// What became of it since.
    pub status: DeadLetterStatus,
    /// When a replay has delivered it; `None` unless it is `REPLAYED`.
    pub replayed_at: Option<Timestamp>,
}

impl TryFrom<Model> for DeadLetter {
    type Error = DbErr;

    fn try_from(row: Model) -> Result<Self, DbErr> {
        Ok(Self {
            id: DeadLetterId::new(row.id),
            workspace_id: WorkspaceId::new(row.workspace_id),
            installation_id: InstallationId::new(row.installation_id),
            extension_key: row.extension_key,
            event_id: EventId::new(row.event_id),
            handler: row.handler,
            seq: Seq::new(row.seq),
            event_key: EventKey::from_stored(row.event_key),
            schema_version: row.schema_version,
            actor: row.actor,
            payload: row.payload,
            occurred_at: Timestamp::from_millis(row.occurred_at),
            reason: DeadLetterReason::parse(&row.reason)
                .ok_or_else(|| DbErr::Type(format!("{} is no reason of a dead letter", row.reason)))?,
            attempts: row.attempts,
            last_status: row.last_status,
            last_error: row.last_error,
            failed_at: Timestamp::from_millis(row.failed_at),
            status: DeadLetterStatus::parse(&row.status)
                .ok_or_else(|| DbErr::Type(format!("{} is no status of a dead letter", row.status)))?,
            replayed_at: row.replayed_at.map(Timestamp::from_millis),
        })
    }
}

/// # Errors
/// When the database fails.
pub async fn find(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    id: DeadLetterId,
) -> Result<Option<DeadLetter>, DbErr> {
    Entity::find()
        .filter(Column::Id.eq(id.uuid()))
        .filter(Column::WorkspaceId.eq(workspace.uuid()))
        .one(conn)
        .await?
        .map(DeadLetter::try_from)
        .transpose()
}

/// The letters of one event, one for each handler of an installation that could not take it.
///
/// # Errors
/// When the database fails.
pub async fn of_event(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    event: EventId,
) -> Result<Vec<DeadLetter>, DbErr> {
    let rows = Entity::find()
        .filter(Column::EventId.eq(event.uuid()))
        .filter(Column::WorkspaceId.eq(workspace.uuid()))
        .all(conn)
        .await?;
    rows.into_iter().map(DeadLetter::try_from).collect()
}

#[cfg(test)]
mod tests;
