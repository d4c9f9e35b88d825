//! Walks through the log of each workspace, in pieces of its key.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement};
use uuid::Uuid;

use super::{collected::Collected, rows::one};

/// Positions that are counted at a time.
const PIECE: i64 = 10_000;

const GAP: &str = "gap in a log";
const TWICE: &str = "position taken twice";
const NO_WORKSPACE: &str = "log without workspace";

/// How much there is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Walked {
    pub(super) events: u64,
    pub(super) logs: u64,
}

/// Where the logs begin and end. A log that was pruned begins after the position that its row of `workspace_log` says,
/// in schemas with that table, and an event stands at every position from there to the head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    has_table: bool,
}

impl Bounds {
    pub(super) async fn of(snapshot: &DatabaseTransaction) -> Result<Self, DbErr> {
        let sql = match snapshot.get_database_backend() {
            DbBackend::Postgres => "SELECT 1 FROM pg_class WHERE oid = to_regclass('workspace_log')",
            _ => "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'workspace_log'",
        };
        let found = one(snapshot, sql, []).await?;
        Ok(Self {
            has_table: found.is_some(),
        })
    }

    /// The position up to which the log of a workspace was pruned; 0 where it was not.
    async fn pruned_through(self, snapshot: &DatabaseTransaction, workspace: Uuid) -> Result<i64, DbErr> {
        if !self.has_table {
            return Ok(0);
        }
        let sql = "SELECT pruned_through FROM workspace_log WHERE workspace_id = $1";
        let row = one(snapshot, sql, [workspace.into()]).await?;
        row.map_or(Ok(0), |row| row.try_get_by_index(0))
    }

    /// The head of the log of `workspace`, an expression of SQL, as an expression.
    pub(super) fn head_of(self, workspace: &str) -> String {
        let stored =
            format!("SELECT MAX(e.seq) AS seq FROM platform_event e WHERE e.workspace_id = {workspace}");
        let pruned = match self.has_table {
            true => format!(
                " UNION ALL SELECT w.pruned_through FROM workspace_log w WHERE w.workspace_id = {workspace}"
            ),
            false => String::new(),
        };
        format!("COALESCE((SELECT MAX(h.seq) FROM ({stored}{pruned}) h), 0)")
    }
}

const NEXT_LOG: &str =
    "SELECT workspace_id FROM platform_event WHERE workspace_id > $1 ORDER BY workspace_id LIMIT 1";

/// Looks for gaps, for positions with two events, and for logs whose workspace does not exist.
pub(super) async fn walk(
    snapshot: &DatabaseTransaction,
    bounds: Bounds,
    found: &mut Collected,
) -> Result<Walked, DbErr> {
    let mut walked = Walked::default();
    let mut next = one(
        snapshot,
        "SELECT workspace_id FROM platform_event ORDER BY workspace_id LIMIT 1",
        [],
    )
    .await?;
    while let Some(row) = next {
        let workspace: Uuid = row.try_get_by_index(0)?;
        next = one(snapshot, NEXT_LOG, [workspace.into()]).await?;
        let deleted = "SELECT 1 FROM workspace_deletion WHERE workspace_id = $1";
        if one(snapshot, deleted, [workspace.into()]).await?.is_some() {
            // Its events are on their way out, the first ones first.
            continue;
        }
        walked.logs += 1;
        let known = "SELECT 1 FROM workspace WHERE id = $1";
        if one(snapshot, known, [workspace.into()]).await?.is_none() {
            found.add(NO_WORKSPACE, || format!("workspace {workspace} does not exist"));
        }
        let pruned = bounds.pruned_through(snapshot, workspace).await?;
        walked.events += Log { snapshot, workspace }.walk(pruned, found).await?;
    }
    Ok(walked)
}

struct Log<'a> {
    snapshot: &'a DatabaseTransaction,
    workspace: Uuid,
}

impl Log<'_> {
    /// Returns the number of events. `pruned` is the position before the first that must be there. What was pruned may
    /// be there still in part: it goes in pieces.
    async fn walk(&self, pruned: i64, found: &mut Collected) -> Result<u64, DbErr> {
        let mut events = self.count_to(pruned).await?;
        let mut after = pruned;
        loop {
            let (rows, positions, last) = self.piece(after).await?;
            events += rows.unsigned_abs();
            let is_whole = rows == positions && last - after == positions;
            if rows > 0 && !is_whole {
                self.look_closer(after, found).await?;
            }
            if rows > 0 {
                after = last;
                continue;
            }
            // A gap may be longer than a piece.
            let Some(next) = self.first_after(after).await? else {
                return Ok(events);
            };
            self.gap(after, next, found);
            after = next - 1;
        }
    }

    fn gap(&self, before: i64, after: i64, found: &mut Collected) {
        let workspace = self.workspace;
        found.add(GAP, || match after - before {
            2 => format!("workspace {workspace}: no event at {}", before + 1),
            _ => format!(
                "workspace {workspace}: no events from {} to {}",
                before + 1,
                after - 1
            ),
        });
    }

    /// The number of events up to this position, of which no more is asked.
    async fn count_to(&self, last: i64) -> Result<u64, DbErr> {
        let sql = "SELECT COUNT(*) FROM platform_event WHERE workspace_id = $1 AND seq <= $2";
        let row = one(self.snapshot, sql, [self.workspace.into(), last.into()]).await?;
        let count: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
        Ok(count.unsigned_abs())
    }

    /// The rows, the different positions and the last of them in the piece after this position.
    async fn piece(&self, after: i64) -> Result<(i64, i64, i64), DbErr> {
        let sql = "SELECT COUNT(*), COUNT(DISTINCT seq), COALESCE(MAX(seq), 0) FROM platform_event \
                   WHERE workspace_id = $1 AND seq > $2 AND seq <= $3";
        let values = [
            self.workspace.into(),
            after.into(),
            after.saturating_add(PIECE).into(),
        ];
        match one(self.snapshot, sql, values).await? {
            Some(row) => Ok((
                row.try_get_by_index(0)?,
                row.try_get_by_index(1)?,
                row.try_get_by_index(2)?,
            )),
            None => Ok((0, 0, 0)),
        }
    }

    async fn first_after(&self, after: i64) -> Result<Option<i64>, DbErr> {
        let sql = "SELECT MIN(seq) FROM platform_event WHERE workspace_id = $1 AND seq > $2";
        let row = one(self.snapshot, sql, [self.workspace.into(), after.into()]).await?;
        row.map_or(Ok(None), |row| row.try_get_by_index(0))
    }

    /// Says what is wrong in a piece.
    async fn look_closer(&self, after: i64, found: &mut Collected) -> Result<(), DbErr> {
        let sql = "SELECT before, seq FROM (SELECT seq, LAG(seq, 1, CAST($2 AS BIGINT)) OVER (ORDER BY seq) AS before \
                   FROM platform_event WHERE workspace_id = $1 AND seq > $2 AND seq <= $3) pairs \
                   WHERE seq <> before + 1 ORDER BY seq";
        let values = [
            self.workspace.into(),
            after.into(),
            after.saturating_add(PIECE).into(),
        ];
        let statement = Statement::from_sql_and_values(self.snapshot.get_database_backend(), sql, values);
        for row in self.snapshot.query_all_raw(statement).await? {
            let (before, seq): (i64, i64) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
            if before == seq {
                let workspace = self.workspace;
                found.add(TWICE, || format!("workspace {workspace}: two events at {seq}"));
            } else {
                self.gap(before, seq, found);
            }
        }
        Ok(())
    }
}
