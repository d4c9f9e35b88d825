//! Deletes rows of a workspace that is deleted, of any table.
//!
//! Every statement finds its rows by an index that begins with the workspace, the installation or the event, and
//! deletes no more than are left of the piece.

use pointsman_domain::id::WorkspaceId;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};

use crate::sql::{numbered_statement, run, signed};

/// Installations of one piece.
const INSTALLATIONS: u64 = 50;

/// Tables of which each row names its workspace, and their keys.
const OF_WORKSPACE: &[(&str, &str)] = &[
    ("dead_letter_event", "id"),
    ("publish_idempotency_key", "workspace_id, key"),
    ("chat_message", "workspace_id, channel, id"),
    ("chat_channel", "workspace_id, channel"),
    ("pruned_derived_event", "id"),
    ("workspace_member", "workspace_id, user_id"),
    ("event_erasure", "workspace_id, seq"),
    // Of the following, rows without an installation.
    ("ext_event_subscription", "id"),
    ("ext_delivery_cursor", "installation_id"),
    ("workspace_log", "workspace_id"),
    ("workspace_due", "workspace_id"),
];
/// Tables of which each row names its installation, and their keys.
const OF_INSTALLATION: &[(&str, &str)] = &[
    ("ext_delivery_retry", "installation_id, kind, event_id, handler"),
    ("ext_delivery_done", "installation_id, kind, event_id, handler"),
    ("ext_event_subscription", "id"),
    ("ext_delivery_cursor", "installation_id"),
];

/// Deletes at most `limit` rows. Where no other row is left, the mark of the deletion goes as well.
pub(super) async fn rows(
    transaction: &DatabaseTransaction,
    workspace: WorkspaceId,
    limit: u64,
) -> Result<u64, DbErr> {
    let mut piece = Piece {
        transaction,
        workspace,
        limit,
        left: limit,
    };
    piece.run().await?;
    Ok(limit - piece.left)
}

struct Piece<'a> {
    transaction: &'a DatabaseTransaction,
    workspace: WorkspaceId,
    limit: u64,
    left: u64,
}

impl Piece<'_> {
    /// Ends with the first table that had rows, so that a piece is few statements.
    async fn run(&mut self) -> Result<(), DbErr> {
        if self.installations().await? > 0 || self.events().await? > 0 {
            return Ok(());
        }
        for (table, key) in OF_WORKSPACE {
            let of_workspace = format!("SELECT {key} FROM {table} WHERE workspace_id = {{1}} LIMIT {{2}}");
            if self.delete(table, key, &of_workspace, &[]).await? > 0 {
                return Ok(());
            }
        }
        let mark = "DELETE FROM workspace_deletion WHERE workspace_id = {1}";
        run(self.transaction, mark, vec![self.workspace.uuid().into()]).await?;
        Ok(())
    }

    /// Deletes the first installations with what belongs to them. Returns how many rows.
    async fn installations(&mut self) -> Result<u64, DbErr> {
        let any = "SELECT 1 AS one FROM ext_installation WHERE workspace_id = {1} LIMIT 1";
        let backend = self.transaction.get_database_backend();
        let any = numbered_statement(backend, any, vec![self.workspace.uuid().into()]);
        if self.transaction.query_one_raw(any).await?.is_none() {
            return Ok(0);
        }
        let first = "SELECT id FROM ext_installation WHERE workspace_id = {1} ORDER BY id LIMIT {2}";
        let count = self.limit.min(INSTALLATIONS);
        let mut deleted = 0;
        for (table, key) in OF_INSTALLATION {
            let columns: Vec<String> = key.split(", ").map(|column| format!("t.{column}")).collect();
            let of_first = format!(
                "SELECT {} FROM ({first}) i JOIN {table} t ON t.installation_id = i.id LIMIT {{3}}",
                columns.join(", ")
            );
            deleted += self.delete(table, key, &of_first, &[count]).await?;
        }
        // Not before nothing belongs to them: what was deleted so far has left some of the piece then.
        let themselves = format!("SELECT id FROM ({first}) i LIMIT {{3}}");
        Ok(deleted
            + self
                .delete("ext_installation", "id", &themselves, &[count])
                .await?)
    }

    /// Deletes the first events, and their attempts before them: nothing else leads to those. Returns how many rows.
    async fn events(&mut self) -> Result<u64, DbErr> {
        let attempts = "SELECT a.event_id, a.installation_id, a.id FROM (SELECT id FROM platform_event \
                        WHERE workspace_id = {1} ORDER BY seq LIMIT {2}) e \
                        JOIN ext_delivery_attempt a ON a.event_id = e.id LIMIT {3}";
        let key = "event_id, installation_id, id";
        let first = self.left;
        let deleted = self
            .delete("ext_delivery_attempt", key, attempts, &[first])
            .await?;
        // Where some are left, so are none of these events' attempts.
        let events = "SELECT id FROM platform_event WHERE workspace_id = {1} ORDER BY seq LIMIT {2}";
        Ok(deleted + self.delete("platform_event", "id", events, &[]).await?)
    }

    /// Deletes the rows whose keys the query gives. Its placeholders are the workspace, `bounds`, and how many rows are
    /// left of the piece.
    async fn delete(&mut self, table: &str, key: &str, query: &str, bounds: &[u64]) -> Result<u64, DbErr> {
        if self.left == 0 {
            return Ok(0);
        }
        let sql = format!("DELETE FROM {table} WHERE ({key}) IN ({query})");
        let mut values = vec![self.workspace.uuid().into()];
        values.extend(
            bounds
                .iter()
                .chain([&self.left])
                .map(|bound| signed(*bound).into()),
        );
        let deleted = run(self.transaction, &sql, values).await?;
        self.left = self.left.saturating_sub(deleted);
        Ok(deleted)
    }
}
