//! How much an installation has not settled yet.

use std::collections::HashSet;

use entity::{dead_letter_event, ext_delivery_cursor, ext_delivery_retry};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};

use super::{events, subscriptions};
use pointsman_domain::{
    attempt::DeliveryKind,
    id::{InstallationId, WorkspaceId},
    seq::Seq,
    span::{Span, is_due},
    timestamp::Timestamp,
};

/// What an installation has not settled yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Events that are due and were not settled; never less than there are.
    pub pending: u64,
    /// Whether `pending` is the exact number. It is not when the backlog is longer than what is looked at;
    /// then every event beyond counts, due or not.
    pub exact: bool,
    /// Parked deliveries, those of replays too.
    pub retrying: u64,
    /// When the oldest event of the two was accepted.
    pub oldest_at: Option<Timestamp>,
}

/// How many events are looked at one by one: a bound on the cost of a look at a long backlog.
const LOOK_AHEAD: u64 = 1000;

/// The earliest time at which a parked delivery of the workspace is to be tried.
///
/// # Errors
/// When the database fails.
pub async fn next_retry_at(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
) -> Result<Option<Timestamp>, DbErr> {
    let row = ext_delivery_retry::Entity::find()
        .filter(ext_delivery_retry::Column::WorkspaceId.eq(workspace.uuid()))
        .order_by_asc(ext_delivery_retry::Column::NextAttemptAt)
        .one(conn)
        .await?;
    Ok(row.map(|row| Timestamp::from_millis(row.next_attempt_at)))
}

/// # Errors
/// When the database fails.
pub async fn of_installation(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    installation: InstallationId,
) -> Result<Backlog, DbErr> {
    let settled = settled(conn, workspace, installation).await?;
    let spans = subscriptions::spans_beyond(conn, workspace, installation, settled).await?;
    let head = events::head(conn, workspace).await?;
    let mut backlog = Backlog {
        exact: true,
        ..Backlog::default()
    };
    if let Some((after, through)) = unsettled_stretch(&spans, settled, head) {
        let handled = handled(conn, workspace, installation, after).await?;
        let headings = events::headings(conn, workspace, after, through, LOOK_AHEAD).await?;
        let full = headings.len() as u64 == LOOK_AHEAD;
        let seen = headings.last().map_or(through, |heading| heading.seq);
        let due = headings.iter().filter(|heading| {
            is_due(&spans, heading.seq, &heading.event_key) && !handled.contains(&heading.seq.get())
        });
        for heading in due {
            backlog.pending += 1;
            backlog.oldest_at.get_or_insert(heading.occurred_at);
        }
        if full && seen < through {
            backlog.pending += u64::try_from(through.get() - seen.get()).unwrap_or(0);
            backlog.exact = false;
        }
    }
    add_parked(conn, workspace, installation, &mut backlog).await?;
    Ok(backlog)
}

/// The part of `(settled, head]` that lies between the ends of the spans, none of which ends before: nothing is due
/// outside of it.
fn unsettled_stretch(spans: &[Span], settled: Seq, head: Seq) -> Option<(Seq, Seq)> {
    let spans = || spans.iter();
    let after = spans().map(|span| span.from_seq).min()?.max(settled);
    let through = spans()
        .map(|span| span.until_seq.unwrap_or(head))
        .max()?
        .min(head);
    (after < through).then_some((after, through))
}

async fn settled(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    installation: InstallationId,
) -> Result<Seq, DbErr> {
    let row = ext_delivery_cursor::Entity::find_by_id(installation.uuid())
        .filter(ext_delivery_cursor::Column::WorkspaceId.eq(workspace.uuid()))
        .one(conn)
        .await?;
    Ok(row.map_or(Seq::ZERO, |row| Seq::new(row.settled_seq)))
}

/// Places after `after` that were settled out of order: parked, or given up.
async fn handled(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    installation: InstallationId,
    after: Seq,
) -> Result<HashSet<i64>, DbErr> {
    use dead_letter_event::Column as Letter;
    use ext_delivery_retry::Column as Retry;
    let parked: Vec<i64> = ext_delivery_retry::Entity::find()
        .select_only()
        .column(Retry::Seq)
        .filter(Retry::InstallationId.eq(installation.uuid()))
        .filter(Retry::WorkspaceId.eq(workspace.uuid()))
        .filter(Retry::Seq.gt(after.get()))
        // A row of one handler says nothing about the others.
        .filter(Retry::Handler.eq(""))
        .limit(LOOK_AHEAD)
        .into_tuple()
        .all(conn)
        .await?;
    let dead: Vec<i64> = dead_letter_event::Entity::find()
        .select_only()
        .column(Letter::Seq)
        .filter(Letter::InstallationId.eq(installation.uuid()))
        .filter(Letter::WorkspaceId.eq(workspace.uuid()))
        .filter(Letter::Seq.gt(after.get()))
        .filter(Letter::Handler.eq(""))
        .limit(LOOK_AHEAD)
        .into_tuple()
        .all(conn)
        .await?;
    Ok(parked.into_iter().chain(dead).collect())
}

async fn add_parked(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    installation: InstallationId,
    backlog: &mut Backlog,
) -> Result<(), DbErr> {
    use ext_delivery_retry::Column;
    let parked = ext_delivery_retry::Entity::find()
        .filter(Column::InstallationId.eq(installation.uuid()))
        .filter(Column::WorkspaceId.eq(workspace.uuid()));
    backlog.retrying = parked.clone().count(conn).await?;
    // A replay's event may have left the log; the live ones are enough to tell how old the backlog is.
    let oldest = parked
        .filter(Column::Kind.eq(DeliveryKind::Live.as_str()))
        .order_by_asc(Column::Seq)
        .one(conn)
        .await?;
    if let Some(row) = oldest {
        let seq = Seq::new(row.seq);
        for heading in events::headings(conn, workspace, seq.prev(), seq, 1).await? {
            let earlier = backlog
                .oldest_at
                .map_or(heading.occurred_at, |at| at.min(heading.occurred_at));
            backlog.oldest_at = Some(earlier);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    #[tokio::test]
    async fn only_what_is_due_and_not_settled_is_pending() {
        let db = Fixture::new().await;
        let ours = db.workspace();
        let crm = db.install(ours, "crm").await;
        db.span(ours, crm, "a.*", 1, Some((5, "DISABLED"))).await;
        db.cursor(ours, crm, 2).await;
        for (seq, key) in [
            (1, "a.b"),
            (2, "a.b"),
            (3, "x.y"),
            (4, "a.b"),
            (5, "a.b"),
            (6, "a.b"),
        ] {
            db.event(ours, seq, key).await;
        }
        let backlog = of_installation(&db.conn, ours, crm).await.unwrap();
        assert_eq!(
            backlog,
            Backlog {
                pending: 2,
                exact: true,
                retrying: 0,
                oldest_at: Some(Timestamp::from_millis(4000)),
            }
        );
    }

    #[tokio::test]
    async fn parked_deliveries_count_once_and_keep_their_age() {
        let db = Fixture::new().await;
        let ours = db.workspace();
        let crm = db.install(ours, "crm").await;
        db.span(ours, crm, "a.*", 0, None).await;
        db.cursor(ours, crm, 1).await;
        let parked_before = db.event(ours, 1, "a.b").await;
        let parked_after = db.event(ours, 2, "a.b").await;
        let dead = db.event(ours, 3, "a.b").await;
        db.event(ours, 4, "a.b").await;
        db.retry(ours, crm, parked_before, 1, 1).await;
        db.retry(ours, crm, parked_after, 2, 1).await;
        db.letter_of(ours, crm, dead, 3, "DEAD", 3000).await;

        let backlog = of_installation(&db.conn, ours, crm).await.unwrap();
        assert_eq!((backlog.pending, backlog.retrying), (1, 2));
        assert_eq!(backlog.oldest_at, Some(Timestamp::from_millis(1000)));
    }

    #[tokio::test]
    async fn without_a_subscription_there_is_no_backlog_however_long_the_log() {
        let db = Fixture::new().await;
        let ours = db.workspace();
        let crm = db.install(ours, "crm").await;
        db.event(ours, 7, "a.b").await;
        let backlog = of_installation(&db.conn, ours, crm).await.unwrap();
        assert_eq!(
            (backlog.pending, backlog.exact, backlog.oldest_at),
            (0, true, None)
        );
    }
}
