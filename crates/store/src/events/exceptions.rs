//! Where the log has events that did not arrive at the first attempt. They are few, and each installation has its own
//! in the order of the log, so that a list skips to them.

use sea_orm::{ConnectionTrait, DbErr};

use pointsman_domain::id::{InstallationId, WorkspaceId};

use super::{filter::EventStatus, positions::Positions};
use crate::{conditions::Sql, direction::Direction};

/// The most installations that are asked, so that skipping takes a millisecond. A workspace that ever had more is
/// looked at event by event.
const MAX_INSTALLATIONS: i64 = 200;

/// Skips what comes before the first position at which the table of the status has a row, of this installation or of
/// any.
pub(super) async fn skip_to(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    status: EventStatus,
    installation: Option<InstallationId>,
    direction: Direction,
    left: &mut Positions,
) -> Result<(), DbErr> {
    let (table, _) = status.rows();
    let first = match direction {
        Direction::Ascending => "MIN",
        Direction::Descending => "MAX",
    };
    let mut sql = Sql::new(conn.get_database_backend(), "SELECT ");
    sql.push(&format!(
        "{first}(found.seq) AS seq, COUNT(*) AS installations FROM ("
    ))
    .push(&format!(
        "SELECT (SELECT d.seq FROM {table} d WHERE d.installation_id = i.id"
    ))
    .with(" AND d.seq >= ?", left.low)
    .with(" AND d.seq < ?", left.high)
    .push(&format!(" ORDER BY d.seq {} LIMIT 1) AS seq", direction.sql()))
    .with(
        " FROM ext_installation i WHERE i.workspace_id = ?",
        workspace.uuid(),
    )
    .with_some(" AND i.id = ?", installation.map(InstallationId::uuid))
    .with(" LIMIT ?) AS found", MAX_INSTALLATIONS + 1);
    let Some(row) = conn.query_one_raw(sql.statement()).await? else {
        return Ok(());
    };
    let installations: i64 = row.try_get("", "installations")?;
    if installations <= MAX_INSTALLATIONS {
        left.skip_to(direction, row.try_get("", "seq")?);
    }
    Ok(())
}
