//! Reads of the log off the hot path. The journal writes it.

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

/// Which events to list; what is absent does not restrict.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    pub event_key: Option<EventKey>,
    pub actor: Option<String>,
    /// Accepted at this time or later.
    pub from: Option<Timestamp>,
    /// Accepted before this time.
    pub to: Option<Timestamp>,
}

impl EventFilter {
    /// Whether every event passes.
    fn is_empty(&self) -> bool {
        let Self {
            event_key,
            actor,
            from,
            to,
        } = self;
        event_key.is_none() && actor.is_none() && from.is_none() && to.is_none()
    }
}

/// Events, and where to go on.
#[derive(Debug)]
pub struct EventPage {
    pub events: Vec<PlatformEvent>,
    /// The events before this position are still to be looked at; none where the log ends.
    pub next: Option<Seq>,
}

/// The most events that one page looks at. A filter that few events pass takes several pages, some of them empty.
pub const MAX_LOOKED_AT: i64 = 10_000;

/// Rows of the first read, when the size of the events is not known. Later reads are sized by what was read.
const FIRST_ROWS: u64 = 16;

/// The events that pass the filter, newest first: at most `limit` of those before `before`. The page ends with the
/// event at which the payloads reach `max_bytes`; it has at least one event where there is one among those that it
/// looks at, which are at most [`MAX_LOOKED_AT`].
///
/// # Errors
/// When the database fails.
pub async fn page(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    filter: &EventFilter,
    mut before: Option<Seq>,
    limit: u64,
    max_bytes: usize,
) -> Result<EventPage, DbErr> {
    let mut events: Vec<PlatformEvent> = Vec::new();
    let mut bytes = 0;
    let lowest = lowest(conn, workspace, filter, before).await?;
    loop {
        let count = events.len() as u64;
        // One more than is shown tells whether there are more.
        let rows = next_rows(count, bytes, max_bytes).min(limit + 1 - count);
        let read = rows_before(conn, workspace, filter, before, lowest, rows).await?;
        let last = (read.len() as u64) < rows;
        for event in read {
            if events.len() as u64 == limit || (bytes >= max_bytes && !events.is_empty()) {
                return Ok(EventPage { events, next: before });
            }
            bytes += event.payload.len();
            before = Some(event.seq);
            events.push(event);
        }
        if last {
            return Ok(EventPage { events, next: lowest });
        }
    }
}

/// The lowest position that a page looks at, where events may be before it. Positions have no gaps.
async fn lowest(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    filter: &EventFilter,
    before: Option<Seq>,
) -> Result<Option<Seq>, DbErr> {
    if filter.is_empty() {
        return Ok(None);
    }
    let before = match before {
        Some(before) => before,
        None => head(conn, workspace).await?.next(),
    };
    let lowest = Seq::new(before.get().saturating_sub(MAX_LOOKED_AT));
    Ok(Some(lowest).filter(|lowest| *lowest > Seq::ZERO.next()))
}

/// How many rows probably reach `max_bytes`, after `count` with `bytes` in all.
fn next_rows(count: u64, bytes: usize, max_bytes: usize) -> u64 {
    let average = (bytes as u64).checked_div(count).map(|average| average.max(1));
    average.map_or(FIRST_ROWS, |average| {
        (max_bytes.saturating_sub(bytes) as u64 / average).max(1)
    })
}

async fn rows_before(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    filter: &EventFilter,
    before: Option<Seq>,
    lowest: Option<Seq>,
    limit: u64,
) -> Result<Vec<PlatformEvent>, DbErr> {
    let mut query = Entity::find().filter(Column::WorkspaceId.eq(workspace.uuid()));
    if let Some(key) = &filter.event_key {
        query = query.filter(Column::EventKey.eq(key.as_str()));
    }
    if let Some(actor) = &filter.actor {
        query = query.filter(Column::Actor.eq(actor.as_str()));
    }
    if let Some(from) = filter.from {
        query = query.filter(Column::OccurredAt.gte(from.millis()));
    }
    if let Some(to) = filter.to {
        query = query.filter(Column::OccurredAt.lt(to.millis()));
    }
    if let Some(before) = before {
        query = query.filter(Column::Seq.lt(before.get()));
    }
    if let Some(lowest) = lowest {
        query = query.filter(Column::Seq.gte(lowest.get()));
    }
    let rows = query.order_by_desc(Column::Seq).limit(limit).all(conn).await?;
    Ok(rows.into_iter().map(recorded).collect())
}

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
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    const MIB: usize = 1024 * 1024;

    fn seqs(page: &EventPage) -> Vec<i64> {
        page.events.iter().map(|event| event.seq.get()).collect()
    }

    #[tokio::test]
    async fn a_page_ends_at_its_bytes_and_the_next_goes_on_there() {
        let db = Fixture::new().await;
        let ours = db.workspace();
        for seq in 1..=40 {
            db.event(ours, seq, "a.b").await;
        }
        let filter = EventFilter::default();
        let whole = page(&db.conn, ours, &filter, None, 40, MIB).await.unwrap();
        assert_eq!((whole.events.len(), whole.next), (40, None));
        let one = whole.events[0].payload.len();
        for (max_bytes, expected) in [
            (0, 1),
            (1, 1),
            (one, 1),
            (one + 1, 2),
            (25 * one, 25),
            (39 * one + 1, 40),
        ] {
            let read = page(&db.conn, ours, &filter, None, 100, max_bytes).await.unwrap();
            assert_eq!(
                (read.events.len(), read.next.is_some()),
                (expected, expected < 40),
                "{max_bytes} bytes"
            );
        }
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let read = page(&db.conn, ours, &filter, before, 7, 3 * one).await.unwrap();
            seen.extend(seqs(&read));
            before = read.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(seen, (1..=40).rev().collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn events_are_paged_newest_first_within_their_workspace() {
        let db = Fixture::new().await;
        let (ours, theirs) = (db.workspace(), db.workspace());
        for seq in 1..=5 {
            db.event(ours, seq, "crm.deal.closed").await;
        }
        let foreign = db.event(theirs, 1, "crm.deal.closed").await;

        let filter = EventFilter::default();
        let first = page(&db.conn, ours, &filter, None, 3, MIB).await.unwrap();
        let second = page(&db.conn, ours, &filter, Some(Seq::new(3)), 3, MIB)
            .await
            .unwrap();
        assert_eq!((seqs(&first), first.next), (vec![5, 4, 3], Some(Seq::new(3))));
        assert_eq!((seqs(&second), second.next), (vec![2, 1], None));
        assert!(find(&db.conn, ours, foreign).await.unwrap().is_none());
        assert!(find(&db.conn, theirs, foreign).await.unwrap().is_some());
        assert_eq!(head(&db.conn, ours).await.unwrap(), Seq::new(5));
        assert_eq!(head(&db.conn, db.workspace()).await.unwrap(), Seq::ZERO);
    }

    #[tokio::test]
    async fn every_filter_restricts() {
        let db = Fixture::new().await;
        let ours = db.workspace();
        // The fixture accepts the event of position n at n seconds, by the actor `actor-n`.
        for (seq, key) in [(1, "a.a"), (2, "a.b"), (3, "a.a"), (4, "a.a")] {
            db.event(ours, seq, key).await;
        }
        let at = |seconds: i64| Some(Timestamp::from_millis(seconds * 1000));
        let key = EventKey::parse("a.a").unwrap();
        let cases = [
            (
                EventFilter {
                    event_key: Some(key),
                    ..Default::default()
                },
                vec![4, 3, 1],
            ),
            (
                EventFilter {
                    actor: Some("actor-2".into()),
                    ..Default::default()
                },
                vec![2],
            ),
            (
                EventFilter {
                    from: at(2),
                    to: at(4),
                    ..Default::default()
                },
                vec![3, 2],
            ),
        ];
        for (filter, expected) in cases {
            let found = page(&db.conn, ours, &filter, None, 10, MIB).await.unwrap();
            assert_eq!(seqs(&found), expected, "{filter:?}");
        }
    }

    #[tokio::test]
    async fn a_page_that_finds_nothing_says_where_to_go_on_and_all_pages_find_everything() {
        let db = Fixture::new().await;
        let ours = db.workspace();
        let all = 2 * MAX_LOOKED_AT + 5;
        db.events(ours, all, "a.b").await;
        let wanted = [1, 2, MAX_LOOKED_AT + 4, all + 1];
        for seq in [1, 2, MAX_LOOKED_AT + 4] {
            db.rename_event(ours, seq, "a.rare").await;
        }
        db.event(ours, all + 1, "a.rare").await;
        let filter = EventFilter {
            event_key: Some(EventKey::parse("a.rare").unwrap()),
            ..EventFilter::default()
        };
        let (mut found, mut before, mut sizes) = (Vec::new(), None, Vec::new());
        loop {
            let read = page(&db.conn, ours, &filter, before, 10, MIB).await.unwrap();
            sizes.push(read.events.len());
            found.extend(seqs(&read));
            before = read.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(found, wanted.into_iter().rev().collect::<Vec<_>>());
        assert_eq!(sizes, [1, 1, 2]);
        let gone = EventFilter {
            actor: Some("nobody".to_owned()),
            ..EventFilter::default()
        };
        let read = page(&db.conn, ours, &gone, None, 10, MIB).await.unwrap();
        assert_eq!(
            (read.events.len(), read.next),
            (0, Some(Seq::new(all + 2 - MAX_LOOKED_AT)))
        );
    }

    #[tokio::test]
    async fn headings_cover_the_stretch_after_one_place_and_through_another() {
        let db = Fixture::new().await;
        let ours = db.workspace();
        for seq in 1..=5 {
            db.event(ours, seq, "a.b").await;
        }
        let found = headings(&db.conn, ours, Seq::new(1), Seq::new(4), 2)
            .await
            .unwrap();
        assert_eq!(found.iter().map(|h| h.seq.get()).collect::<Vec<_>>(), [2, 3]);
    }
}
