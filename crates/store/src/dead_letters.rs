//! Reads of dead letters. The `DeadLetterActor` writes them, through the journal.

use entity::dead_letter_event::{Column, Entity, Model};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, IdenStatic, Iterable, Order, QueryFilter,
    QueryOrder, QuerySelect, Select, sea_query::Expr,
};
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

/// Which dead letters to list; what is absent does not restrict.
#[derive(Clone, Debug, Default)]
pub struct DeadLetterFilter {
    pub installation_id: Option<InstallationId>,
    pub event_key: Option<EventKey>,
    pub status: Option<DeadLetterStatus>,
    pub reason: Option<DeadLetterReason>,
    /// Failed at this time or later.
    pub from: Option<Timestamp>,
    /// Failed before this time.
    pub to: Option<Timestamp>,
}

/// A position in the list: letters are ordered by when they failed, then by id.
pub type PagePosition = (Timestamp, DeadLetterId);

/// From which end a list begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// Oldest first.
    #[serde(rename = "asc")]
    Ascending,
    /// Newest first.
    #[default]
    #[serde(rename = "desc")]
    Descending,
}

/// The letters of a workspace that pass the filter, in this direction, at most `limit` of those that come after
/// `after`, without their payloads.
///
/// # Errors
/// When the database fails.
pub async fn page(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    filter: &DeadLetterFilter,
    direction: Direction,
    after: Option<PagePosition>,
    limit: u64,
) -> Result<Vec<DeadLetter>, DbErr> {
    read(
        conn,
        select(of_workspace(workspace), filter, direction, after, limit),
    )
    .await
}

fn of_workspace(workspace: WorkspaceId) -> Select<Entity> {
    Entity::find().filter(Column::WorkspaceId.eq(workspace.uuid()))
}

/// As [`page`], of every workspace.
///
/// # Errors
/// When the database fails.
pub async fn page_across_workspaces(
    conn: &impl ConnectionTrait,
    filter: &DeadLetterFilter,
    direction: Direction,
    after: Option<PagePosition>,
    limit: u64,
) -> Result<Vec<DeadLetter>, DbErr> {
    read(conn, select(Entity::find(), filter, direction, after, limit)).await
}

fn select(
    query: Select<Entity>,
    filter: &DeadLetterFilter,
    direction: Direction,
    after: Option<PagePosition>,
    limit: u64,
) -> Select<Entity> {
    let mut query = query.filter(condition(filter));
    if let Some(position) = after {
        query = query.filter(beyond(direction, position));
    }
    let order = match direction {
        Direction::Ascending => Order::Asc,
        Direction::Descending => Order::Desc,
    };
    // Lists show no payloads, and up to 200 of them would be read for nothing.
    let shown = Column::iter().filter(|column| !matches!(column, Column::Payload));
    query
        .select_only()
        .columns(shown)
        .expr_as(Expr::cust("''"), Column::Payload.as_str())
        .order_by(Column::FailedAt, order.clone())
        .order_by(Column::Id, order)
        .limit(limit)
}

/// The rows after the position. The bound on the time is repeated outside of the `OR`, so that its index is used.
fn beyond(direction: Direction, (failed_at, id): PagePosition) -> Condition {
    let (at, id) = (failed_at.millis(), id.uuid());
    let (bound, later, next) = match direction {
        Direction::Ascending => (
            Column::FailedAt.gte(at),
            Column::FailedAt.gt(at),
            Column::Id.gt(id),
        ),
        Direction::Descending => (
            Column::FailedAt.lte(at),
            Column::FailedAt.lt(at),
            Column::Id.lt(id),
        ),
    };
    let same = Condition::all().add(Column::FailedAt.eq(at)).add(next);
    Condition::all()
        .add(bound)
        .add(Condition::any().add(later).add(same))
}

async fn read(conn: &impl ConnectionTrait, query: Select<Entity>) -> Result<Vec<DeadLetter>, DbErr> {
    let rows = query.all(conn).await?;
    rows.into_iter().map(DeadLetter::try_from).collect()
}

fn condition(filter: &DeadLetterFilter) -> Condition {
    Condition::all()
        .add_option(
            filter
                .installation_id
                .map(|id| Column::InstallationId.eq(id.uuid())),
        )
        .add_option(
            filter
                .event_key
                .as_ref()
                .map(|key| Column::EventKey.eq(key.as_str())),
        )
        .add_option(filter.status.map(|status| Column::Status.eq(status.as_str())))
        .add_option(filter.reason.map(|reason| Column::Reason.eq(reason.as_str())))
        .add_option(filter.from.map(|from| Column::FailedAt.gte(from.millis())))
        .add_option(filter.to.map(|to| Column::FailedAt.lt(to.millis())))
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
mod tests {
    use sea_orm::QueryTrait;

    use super::*;
    use crate::fixture::Fixture;

    #[tokio::test]
    async fn letters_that_failed_in_the_same_millisecond_are_paged_without_gap_or_repeat() {
        let db = Fixture::new().await;
        let ours = db.workspace();
        let crm = db.install(ours, "crm").await;
        for seq in 1..=5 {
            db.letter(ours, crm, seq, "DEAD", 7000).await;
        }
        let filter = DeadLetterFilter::default();
        for (direction, expected) in [
            (Direction::Descending, [5, 4, 3, 2, 1]),
            (Direction::Ascending, [1, 2, 3, 4, 5]),
        ] {
            let mut seen = Vec::new();
            let mut after = None;
            loop {
                let letters = page(&db.conn, ours, &filter, direction, after, 2).await.unwrap();
                let Some(last) = letters.last() else { break };
                after = Some((last.failed_at, last.id));
                seen.extend(letters.iter().map(|letter| letter.seq.get()));
            }
            assert_eq!(seen, expected);
        }
    }

    #[tokio::test]
    async fn pages_are_read_along_an_index_in_both_directions() {
        let db = Fixture::new().await;
        let ours = db.workspace();
        let filter = DeadLetterFilter::default();
        let after = Some((Timestamp::from_millis(7), DeadLetterId::new(uuid::Uuid::nil())));
        for direction in [Direction::Ascending, Direction::Descending] {
            for (query, index) in [
                (of_workspace(ours), "dead_letter_event_workspace"),
                (Entity::find(), "dead_letter_event_time"),
            ] {
                let query = select(query, &filter, direction, after, 9);
                let mut statement = query.build(db.conn.get_database_backend());
                statement.sql.insert_str(0, "EXPLAIN QUERY PLAN ");
                let steps = db.conn.query_all_raw(statement).await.unwrap();
                let steps = steps.iter().map(|step| step.try_get("", "detail").unwrap());
                let plan = steps.collect::<Vec<String>>().join("\n");
                assert!(plan.starts_with("SEARCH ") && plan.contains(index), "{plan}");
                assert!(!plan.contains("TEMP B-TREE"), "{plan}");
            }
        }
    }

    #[tokio::test]
    async fn a_letter_is_seen_in_its_workspace_and_across_workspaces() {
        let db = Fixture::new().await;
        let (ours, theirs) = (db.workspace(), db.workspace());
        let crm = db.install(ours, "crm").await;
        let letter = db.letter(ours, crm, 1, "DEAD", 1000).await;
        let filter = DeadLetterFilter::default();

        assert!(find(&db.conn, ours, letter).await.unwrap().is_some());
        assert!(find(&db.conn, theirs, letter).await.unwrap().is_none());
        assert!(
            page(&db.conn, theirs, &filter, Direction::Descending, None, 9)
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(
            page_across_workspaces(&db.conn, &filter, Direction::Descending, None, 9)
                .await
                .unwrap()
                .len(),
            1
        );
    }

    #[tokio::test]
    async fn every_filter_restricts() {
        let db = Fixture::new().await;
        let ours = db.workspace();
        let (crm, chat) = (db.install(ours, "crm").await, db.install(ours, "chat").await);
        db.letter(ours, crm, 1, "DEAD", 1000).await;
        db.letter(ours, crm, 2, "REPLAYED", 2000).await;
        db.letter(ours, chat, 3, "DEAD", 3000).await;
        let at = |millis| Some(Timestamp::from_millis(millis));
        let none = DeadLetterFilter::default;
        let cases = [
            (
                DeadLetterFilter {
                    installation_id: Some(crm),
                    ..none()
                },
                vec![2, 1],
            ),
            (
                DeadLetterFilter {
                    event_key: EventKey::parse("x.y").ok(),
                    ..none()
                },
                vec![],
            ),
            (
                DeadLetterFilter {
                    status: Some(DeadLetterStatus::Dead),
                    ..none()
                },
                vec![3, 1],
            ),
            (
                DeadLetterFilter {
                    reason: Some(DeadLetterReason::Gone),
                    ..none()
                },
                vec![],
            ),
            (
                DeadLetterFilter {
                    from: at(2000),
                    to: at(3000),
                    ..none()
                },
                vec![2],
            ),
        ];
        for (filter, expected) in cases {
            let letters = page(&db.conn, ours, &filter, Direction::Descending, None, 9)
                .await
                .unwrap();
            let seqs: Vec<_> = letters.iter().map(|letter| letter.seq.get()).collect();
            assert_eq!(seqs, expected, "{filter:?}");
        }
    }
}
