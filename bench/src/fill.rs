//! Writes rows into the tables of a server while it is stopped: millions of publishes would take hours.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use pointsman_clock::Clock;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend};
use uuid::Uuid;

use crate::database::Database;

/// Events of one statement: it limits the size of a transaction.
const CHUNK: u64 = 1_000_000;

/// A connection to the database of a server that is stopped.
pub(crate) struct Fill {
    connection: DatabaseConnection,
    /// The file of SQLite.
    file: Option<PathBuf>,
}

impl Fill {
    pub(crate) async fn of(database: &Database) -> Result<Self> {
        let fill = Self {
            connection: database.connect().await?,
            file: database.file.clone(),
        };
        if !fill.is_postgres() {
            // A crash here loses only events of the bench.
            fill.execute("PRAGMA synchronous = OFF").await?;
            fill.execute("PRAGMA cache_size = -200000").await?;
        }
        Ok(fill)
    }

    /// Appends so many events to the workspace's log.
    pub(crate) async fn events(&self, workspace: &str, count: u64) -> Result<()> {
        self.events_of_age(workspace, count, 0).await
    }

    /// Appends so many events that were published so many minutes ago.
    pub(crate) async fn events_of_age(&self, workspace: &str, count: u64, minutes: i64) -> Result<()> {
        let (mut done, at) = (0, minutes_from_now(-minutes));
        while done < count {
            let part = CHUNK.min(count - done);
            self.some_events(workspace, done, part, at).await?;
            done += part;
        }
        self.mark_due().await
    }

    /// Marks all workspaces as due, as the journal does with each event and each retry.
    async fn mark_due(&self) -> Result<()> {
        self.execute(
            "INSERT INTO workspace_due (workspace_id, due_at) SELECT DISTINCT workspace_id, 0 FROM ext_installation
             WHERE NOT closed ON CONFLICT (workspace_id) DO UPDATE SET due_at = 0",
        )
        .await
    }

    async fn some_events(&self, workspace: &str, done: u64, count: u64, at: i64) -> Result<()> {
        let workspace = self.uuid(workspace)?;
        let head =
            format!("(SELECT COALESCE(MAX(seq), 0) FROM platform_event WHERE workspace_id = {workspace})");
        let id = self.id_of(&format!("(i + {done})"));
        self.execute(&format!(
            "INSERT INTO platform_event
                 (workspace_id, seq, id, event_key, schema_version, actor, payload, occurred_at)
             SELECT {workspace}, h + i, {id}, 'crm.deal.closed', '1.0', '018f4e5a-user-uuid',
                    '{{\"t\":1000000000000000000,\"dealId\":\"deal-123\",\"amount\":\"5000.00\",' ||
                    '\"currency\":\"USD\",\"owner\":\"jane.doe@example.com\",\"n\":' || CAST(h + i AS TEXT) || '}}',
                    {at}
             FROM {}, (SELECT {head} AS h) AS heads",
            self.numbers(count)
        ))
        .await
    }

    /// Parks every event of the workspace that is not settled yet, for this installation and for so many minutes,
    /// after one attempt. The cursor moves to the head of the log.
    pub(crate) async fn park(&self, installation: &str, minutes: i64) -> Result<()> {
        let (installation, due) = (self.uuid(installation)?, minutes_from_now(minutes));
        self.execute(&format!(
            "INSERT INTO ext_delivery_retry
                 (installation_id, kind, event_id, workspace_id, seq, attempts, next_attempt_at, last_error)
             SELECT c.installation_id, 'LIVE', e.id, e.workspace_id, e.seq, 1, {due}, 'no connection'
             FROM ext_delivery_cursor c
             JOIN platform_event e ON e.workspace_id = c.workspace_id AND e.seq > c.settled_seq
             WHERE c.installation_id = {installation}
             ON CONFLICT DO NOTHING"
        ))
        .await?;
        self.execute(&format!(
            "UPDATE ext_delivery_cursor SET settled_seq =
                 (SELECT MAX(seq) FROM platform_event e WHERE e.workspace_id = ext_delivery_cursor.workspace_id)
             WHERE installation_id = {installation}"
        ))
        .await
    }

    /// Makes all parked retries due now.
    pub(crate) async fn make_due(&self) -> Result<()> {
        let now = minutes_from_now(0);
        self.execute(&format!("UPDATE ext_delivery_retry SET next_attempt_at = {now}"))
            .await?;
        self.mark_due().await
    }

    /// Appends one event to each workspace that [`Fill::workspaces`] has made. The event is delivered already.
    pub(crate) async fn one_delivered_event_each(&self, count: u64) -> Result<()> {
        let (id, numbers, now) = (self.id_of("i"), self.numbers(count), Clock.wall().millis());
        self.execute(&format!(
            "INSERT INTO platform_event (workspace_id, seq, id, event_key, payload, occurred_at)
             SELECT {id}, 1, {id}, 'crm.deal.closed', '{{}}', {now} FROM {numbers}"
        ))
        .await?;
        self.execute(&format!(
            "UPDATE ext_delivery_cursor SET settled_seq = 1 WHERE workspace_id IN (SELECT {id} FROM {numbers})"
        ))
        .await
    }

    /// The events of [`Fill::one_delivered_event_each`] in the first so many workspaces are not delivered yet.
    pub(crate) async fn undeliver(&self, count: u64) -> Result<()> {
        let (id, numbers) = (self.id_of("i"), self.numbers(count));
        self.execute(&format!(
            "UPDATE ext_delivery_cursor SET settled_seq = 0 WHERE workspace_id IN (SELECT {id} FROM {numbers})"
        ))
        .await?;
        self.execute(&format!(
            "INSERT INTO workspace_due (workspace_id, due_at) SELECT {id}, 0 FROM {numbers} WHERE TRUE
             ON CONFLICT (workspace_id) DO UPDATE SET due_at = 0"
        ))
        .await
    }

    /// Makes so many workspaces, each with a copy of this installation and a subscription. Returns their ids.
    pub(crate) async fn workspaces(&self, like: &str, count: u64) -> Result<Vec<String>> {
        let (like, numbers) = (self.uuid(like)?, self.numbers(count));
        let (id, now) = (self.id_of("i"), Clock.wall().millis());
        for sql in [
            format!(
                "INSERT INTO workspace (id, name, created_at) SELECT {id}, 'filled', {now} FROM {numbers}"
            ),
            format!(
                "INSERT INTO ext_installation (id, workspace_id, key, name, delivery_type, service_base_url,
                     signing_secret, headers, enabled, paused, revision, installed_at, installed_seq, closed)
                 SELECT {id}, {id}, o.key, o.name, o.delivery_type, o.service_base_url, o.signing_secret,
                     o.headers, o.enabled, o.paused, o.revision, {now}, 0, o.closed
                 FROM {numbers}, ext_installation o WHERE o.id = {like}"
            ),
            format!(
                "INSERT INTO ext_event_subscription
                     (id, subscription_id, installation_id, workspace_id, event_key, from_seq, is_current, created_at)
                 SELECT {id}, {id}, {id}, {id}, 'crm.**', 0, TRUE, {now} FROM {numbers}"
            ),
            format!(
                "INSERT INTO ext_delivery_cursor (installation_id, workspace_id, settled_seq, generation)
                 SELECT {id}, {id}, 0, 1 FROM {numbers}"
            ),
        ] {
            self.execute(&sql).await?;
        }
        Ok((1..=count).map(|number| id_text(number).to_string()).collect())
    }

    /// Writes everything to the disk, and updates the statistics of the database: the cost of filling is not measured.
    pub(crate) async fn end(self) -> Result<()> {
        if self.is_postgres() {
            self.execute("VACUUM (ANALYZE)").await?;
            self.execute("CHECKPOINT").await?;
        } else {
            self.execute("PRAGMA synchronous = FULL").await?;
            self.execute("PRAGMA wal_checkpoint(TRUNCATE)").await?;
        }
        self.connection.close().await?;
        if let Some(file) = &self.file {
            // The checkpoint may have copied pages without waiting for the disk.
            std::fs::File::open(file)?.sync_all()?;
        }
        Ok(())
    }

    fn is_postgres(&self) -> bool {
        self.connection.get_database_backend() == DbBackend::Postgres
    }

    async fn execute(&self, sql: &str) -> Result<()> {
        let done = self.connection.execute_unprepared(sql).await;
        done.with_context(|| sql.to_owned())?;
        Ok(())
    }

    /// An SQL expression: a table `n` with the column `i`, from 1.
    fn numbers(&self, count: u64) -> String {
        if self.is_postgres() {
            return format!("generate_series(1::bigint, {count}) AS n(i)");
        }
        format!(
            "(WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < {count})
             SELECT i FROM r) AS n"
        )
    }

    /// An SQL expression: a UUID of version 7, made of a number.
    fn id_of(&self, number: &str) -> String {
        if self.is_postgres() {
            return format!("('01900000-0000-7000-8000-' || lpad(to_hex({number}), 12, '0'))::uuid");
        }
        format!("unhex('01900000000070008000' || printf('%012x', {number}))")
    }

    fn uuid(&self, text: &str) -> Result<String> {
        let uuid: Uuid = text.parse()?;
        Ok(if self.is_postgres() {
            format!("'{uuid}'::uuid")
        } else {
            format!("x'{}'", uuid.simple())
        })
    }
}

fn minutes_from_now(minutes: i64) -> i64 {
    Clock.wall().millis() + minutes * 60_000
}

/// The UUID that [`Fill::id_of`] makes of this number.
fn id_text(number: u64) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | u128::from(number))
}
