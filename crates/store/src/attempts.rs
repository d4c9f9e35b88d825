//! Reads of the history of attempts. It is written after the settlements and may lack the attempts just
//! before a crash, so nothing is decided by it. When an installation last succeeded and failed is settled with its
//! cursor.

use entity::{
    ext_delivery_attempt::{Column, Entity, Model},
    ext_delivery_cursor,
};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde::{
    Deserialize as _,
    de::{IntoDeserializer as _, value::Error as NameError},
};

use pointsman_domain::{
    attempt::{AttemptOutcome, DeliveryKind},
    id::{EventId, InstallationId, WorkspaceId},
    timestamp::Timestamp,
};

/// One attempt, as the history has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub installation_id: InstallationId,
    /// Empty for an external service.
    pub handler: String,
    pub kind: DeliveryKind,
    /// From 1 within its delivery.
    pub number: i32,
    pub outcome: AttemptOutcome,
    pub http_status: Option<i32>,
    pub duration_ms: i64,
    pub error: Option<String>,
    /// At most the first KiB of the answer.
    pub response: Option<String>,
    pub attempted_at: Timestamp,
}

impl TryFrom<Model> for Attempt {
    type Error = DbErr;

    fn try_from(row: Model) -> Result<Self, DbErr> {
        Ok(Self {
            installation_id: InstallationId::new(row.installation_id),
            handler: row.handler,
            kind: DeliveryKind::parse(&row.kind)
                .ok_or_else(|| DbErr::Type(format!("{} is no kind of delivery", row.kind)))?,
            number: row.number,
            outcome: outcome(&row.outcome)?,
            http_status: row.http_status,
            duration_ms: row.duration_ms,
            error: row.error,
            response: row.response,
            attempted_at: Timestamp::from_millis(row.attempted_at),
        })
    }
}

fn outcome(name: &str) -> Result<AttemptOutcome, DbErr> {
    AttemptOutcome::deserialize(name.into_deserializer())
        .map_err(|_: NameError| DbErr::Type(format!("{name} is no outcome of an attempt")))
}

/// The newest attempts of an event that are shown. A delivery has eight by the default schedule, and one
/// more for each replay.
const SHOWN_ATTEMPTS: u64 = 1000;

/// The attempts to deliver an event, to all installations or to one, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn of_event(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    event: EventId,
    installation: Option<InstallationId>,
) -> Result<Vec<Attempt>, DbErr> {
    let mut query = Entity::find()
        .filter(Column::WorkspaceId.eq(workspace.uuid()))
        .filter(Column::EventId.eq(event.uuid()));
    if let Some(installation) = installation {
        query = query.filter(Column::InstallationId.eq(installation.uuid()));
    }
    let mut rows = query
        .order_by_desc(Column::AttemptedAt)
        .order_by_desc(Column::Id)
        .limit(SHOWN_ATTEMPTS)
        .all(conn)
        .await?;
    rows.reverse();
    rows.into_iter().map(Attempt::try_from).collect()
}

/// When an installation last took an event, and when it last failed to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastOutcomes {
    pub success_at: Option<Timestamp>,
    pub failure_at: Option<Timestamp>,
}

/// The last success and failure of the installation that are settled.
///
/// # Errors
/// When the database fails.
pub async fn last_outcomes(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    installation: InstallationId,
) -> Result<LastOutcomes, DbErr> {
    let cursor = ext_delivery_cursor::Entity::find_by_id(installation.uuid())
        .filter(ext_delivery_cursor::Column::WorkspaceId.eq(workspace.uuid()))
        .one(conn)
        .await?;
    Ok(cursor.map_or_else(LastOutcomes::default, |cursor| LastOutcomes {
        success_at: cursor.last_success_at.map(Timestamp::from_millis),
        failure_at: cursor.last_failure_at.map(Timestamp::from_millis),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    #[test]
    fn every_stored_outcome_is_read_back() {
        for known in [
            AttemptOutcome::Delivered,
            AttemptOutcome::Connect,
            AttemptOutcome::AddressRefused,
            AttemptOutcome::Dns,
            AttemptOutcome::Tls,
            AttemptOutcome::Timeout,
            AttemptOutcome::Protocol,
            AttemptOutcome::Http3xx,
            AttemptOutcome::Http4xx,
            AttemptOutcome::Http5xx,
            AttemptOutcome::Panic,
            AttemptOutcome::Misconfigured,
        ] {
            assert_eq!(outcome(known.as_str()).unwrap(), known);
        }
        assert!(outcome("SOMETHING_ELSE").is_err());
    }

    #[tokio::test]
    async fn the_history_of_an_event_is_told_from_its_first_attempt_on() {
        let db = Fixture::new().await;
        let ours = db.workspace();
        let (crm, chat) = (db.install(ours, "crm").await, db.install(ours, "chat").await);
        let event = db.event(ours, 1, "a.b").await;
        db.attempt(ours, crm, event, 1, "TIMEOUT").await;
        db.attempt(ours, crm, event, 2, "DELIVERED").await;
        db.attempt(ours, chat, event, 1, "HTTP_5XX").await;

        let crms = of_event(&db.conn, ours, event, Some(crm)).await.unwrap();
        let numbers: Vec<_> = crms.iter().map(|a| (a.number, a.outcome)).collect();
        assert_eq!(
            numbers,
            [(1, AttemptOutcome::Timeout), (2, AttemptOutcome::Delivered)]
        );
        assert_eq!(of_event(&db.conn, ours, event, None).await.unwrap().len(), 3);
        assert!(
            of_event(&db.conn, db.workspace(), event, None)
                .await
                .unwrap()
                .is_empty()
        );
    }
}
