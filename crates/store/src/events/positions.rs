//! Which positions of a log a list has to look at. Positions have no gaps, and the times of events nearly follow them,
//! so that a time is found by halving.

use sea_orm::{ConnectionTrait, DbErr};

use pointsman_domain::{id::WorkspaceId, seq::Seq, timestamp::Timestamp};

use super::EventFilter;
use crate::{conditions::Sql, direction::Direction};

/// An event has its time from the machine's clock, before it waits for its position; and the clock may be set back. By
/// so much an event may be older than one before it in the log; what is further out of order may not be found by its
/// time.
const OUT_OF_ORDER_MILLIS: i64 = 5 * 60 * 1000;

/// Positions in a row, of `low` and before `high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Positions {
    pub(super) low: i64,
    pub(super) high: i64,
}

impl Positions {
    pub(super) fn is_empty(self) -> bool {
        self.low >= self.high
    }

    pub(super) fn count(self) -> i64 {
        self.high - self.low
    }

    /// Those that come first, at most `count`.
    pub(super) fn first(self, direction: Direction, count: i64) -> Self {
        let count = count.clamp(0, self.count());
        match direction {
            Direction::Ascending => Self {
                high: self.low + count,
                ..self
            },
            Direction::Descending => Self {
                low: self.high - count,
                ..self
            },
        }
    }

    /// Leaves those that come after this one.
    pub(super) fn pass(&mut self, direction: Direction, seq: Seq) {
        match direction {
            Direction::Ascending => self.low = seq.get() + 1,
            Direction::Descending => self.high = seq.get(),
        }
    }

    /// Leaves those that come after the first ones.
    pub(super) fn pass_all(&mut self, direction: Direction, first: Self) {
        match direction {
            Direction::Ascending => self.low = first.high,
            Direction::Descending => self.high = first.low,
        }
    }

    /// Leaves those that come no sooner than this one; without one, none.
    pub(super) fn skip_to(&mut self, direction: Direction, seq: Option<i64>) {
        match (direction, seq) {
            (Direction::Ascending, Some(seq)) => self.low = seq,
            (Direction::Descending, Some(seq)) => self.high = seq + 1,
            (_, None) => self.low = self.high,
        }
    }

    /// The position after which they come.
    pub(super) fn cursor(self, direction: Direction) -> Seq {
        match direction {
            Direction::Ascending => Seq::new(self.low - 1),
            Direction::Descending => Seq::new(self.high),
        }
    }

    fn intersect(&mut self, other: Self) {
        self.low = self.low.max(other.low);
        // None rather than a negative number of them.
        self.high = self.high.min(other.high).max(self.low);
    }
}

/// The positions in which the events of the list can be.
pub(super) async fn of_list(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    filter: &EventFilter,
    direction: Direction,
    after: Option<Seq>,
) -> Result<Positions, DbErr> {
    let log = extent(conn, workspace).await?;
    let mut left = log;
    if let Some(after) = after {
        left.intersect(match direction {
            Direction::Ascending => Positions {
                low: after.get().saturating_add(1),
                ..log
            },
            Direction::Descending => Positions {
                high: after.get(),
                ..log
            },
        });
    }
    for first in [filter.causation_id, filter.correlation_id].into_iter().flatten() {
        // What an event has caused comes after it.
        if let Some(seq) = super::position(conn, workspace, first).await? {
            left.intersect(Positions {
                low: seq.get(),
                ..log
            });
        }
    }
    if let Some(from) = filter.from {
        let (before, _) = crossing(conn, workspace, log, from, -OUT_OF_ORDER_MILLIS).await?;
        left.intersect(Positions {
            low: before + 1,
            ..log
        });
    }
    if let Some(to) = filter.to {
        let (_, high) = crossing(conn, workspace, log, to, OUT_OF_ORDER_MILLIS).await?;
        left.intersect(Positions { high, ..log });
    }
    Ok(left)
}

/// From the oldest event of the log to its newest.
async fn extent(conn: &impl ConnectionTrait, workspace: WorkspaceId) -> Result<Positions, DbErr> {
    let mut sql = Sql::new(conn.get_database_backend(), "SELECT ");
    for (order, name, last) in [("ASC", "oldest", ", "), ("DESC", "newest", "")] {
        sql.with(
            "(SELECT e.seq FROM platform_event e WHERE e.workspace_id = ?",
            workspace.uuid(),
        );
        sql.push(&format!(" ORDER BY e.seq {order} LIMIT 1) AS {name}{last}"));
    }
    let row = conn.query_one_raw(sql.statement()).await?;
    let none = Positions { low: 1, high: 1 };
    let Some(row) = row else { return Ok(none) };
    let (oldest, newest): (Option<i64>, Option<i64>) =
        (row.try_get("", "oldest")?, row.try_get("", "newest")?);
    Ok(oldest.zip(newest).map_or(none, |(low, newest)| Positions {
        low,
        high: newest + 1,
    }))
}

/// Two neighbours in the log, or its ends: the first is older than `time` by `shift` or more, the second is not. Where
/// an event is missing they are further apart.
async fn crossing(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    log: Positions,
    time: Timestamp,
    shift_millis: i64,
) -> Result<(i64, i64), DbErr> {
    let time = time.millis().saturating_add(shift_millis);
    let mut sql = Sql::new(
        conn.get_database_backend(),
        "WITH RECURSIVE halved (low, high) AS (SELECT ",
    );
    sql.with("CAST(? AS BIGINT), ", log.low - 1)
        .with("CAST(? AS BIGINT) UNION ALL SELECT ", log.high)
        .with("CASE WHEN e.occurred_at < ? THEN e.seq ELSE halved.low END, ", time)
        .with("CASE WHEN e.occurred_at < ? THEN halved.high ELSE e.seq END ", time)
        .with(
            "FROM halved JOIN platform_event e ON e.workspace_id = ? AND e.seq = (halved.low + halved.high) / 2 ",
            workspace.uuid(),
        )
        .push("WHERE halved.high - halved.low > 1) SELECT low, high FROM halved ORDER BY high - low LIMIT 1");
    match conn.query_one_raw(sql.statement()).await? {
        Some(row) => Ok((row.try_get("", "low")?, row.try_get("", "high")?)),
        None => Ok((log.low - 1, log.high)),
    }
}
