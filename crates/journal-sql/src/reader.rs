//! The pools for reads, with a time-out on every read, so that no caller waits for a server that does not answer.
//!
//! Each kind of reader has connections of its own: what people search for delays neither the engine nor who signs in.
//! One workspace uses at most half of the connections for queries at a time.

mod shares;

use std::{sync::Arc, time::Duration};

use sea_orm::{
    ConnAcquireErr, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult,
    Statement, prelude::async_trait::async_trait,
};
use tokio::{
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::timeout,
};

use self::shares::{Share, Shares};
use pointsman_domain::id::WorkspaceId;

/// The longest time of a read, including the wait for a connection.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest time of a statement of a query. The database ends it then, also where its caller has gone.
pub(super) const QUERY_DEADLINE: Duration = Duration::from_secs(3);

/// The connections that only read, by what they are for.
#[derive(Clone, Debug)]
pub struct Readers {
    /// For the engine: lanes, the waker, the loading of workspaces.
    pub(super) engine: Reader,
    /// For who may do what: sessions, users, members, workspaces.
    pub access: Reader,
    /// For what people look at. A statement ends after 3 s.
    pub queries: Reader,
    /// For the planner of retention: one connection.
    pub(super) planner: Reader,
}

impl Readers {
    pub(super) async fn close(&self) -> Result<(), DbErr> {
        let Self {
            engine,
            access,
            queries,
            planner,
        } = self;
        for reader in [planner, queries, access, engine] {
            reader.close().await?;
        }
        Ok(())
    }
}

/// How the connections for reads are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PoolSizes {
    pub(super) engine: u32,
    pub(super) access: u32,
    pub(super) queries: u32,
}

impl PoolSizes {
    /// A quarter for access and a quarter for queries, rounded up, and the rest for the engine; at least one each.
    pub(super) fn of(max_connections: u32) -> Self {
        let quarter = max_connections.div_ceil(4).max(1);
        Self {
            engine: max_connections.saturating_sub(2 * quarter).max(1),
            access: quarter,
            queries: quarter,
        }
    }
}

/// Connections that only read. Every statement ends within 5 s, with [`DbErr::ConnectionAcquire`] where the
/// database does not answer.
#[derive(Clone, Debug)]
pub struct Reader {
    pool: DatabaseConnection,
    gate: Gate,
    shares: Shares,
}

/// Reads of one workspace. At most half of the connections of their [`Reader`] execute them at a time; more of them
/// wait in order.
#[derive(Clone, Debug)]
pub struct WorkspaceReader {
    reader: Reader,
    share: Share,
}

/// Every read passes it. Closing it makes new reads wait until the running reads have ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate(Arc<RwLock<()>>);

impl Gate {
    async fn pass(&self) -> RwLockReadGuard<'_, ()> {
        self.0.read().await
    }

    /// Waits until no read runs. New reads wait until the returned guard is dropped. None where running reads take
    /// longer than `patience`; then new reads go on as well.
    pub(super) async fn close(&self, patience: Duration) -> Option<RwLockWriteGuard<'_, ()>> {
        timeout(patience, self.0.write()).await.ok()
    }
}

impl Reader {
    /// A reader with so many connections in the pool.
    pub(super) fn over(pool: DatabaseConnection, connections: u32, gate: Gate) -> Self {
        Self {
            pool,
            gate,
            shares: Shares::new(connections.div_ceil(2)),
        }
    }

    /// For reads of what belongs to this workspace.
    pub fn of(&self, workspace: WorkspaceId) -> WorkspaceReader {
        WorkspaceReader {
            reader: self.clone(),
            share: self.shares.of(workspace),
        }
    }

    /// Whether no read is possible any more.
    pub(super) fn is_closed(&self) -> bool {
        match self.pool.get_database_backend() {
            DbBackend::Postgres => self.pool.get_postgres_connection_pool().is_closed(),
            _ => self.pool.get_sqlite_connection_pool().is_closed(),
        }
    }

    pub(super) async fn close(&self) -> Result<(), DbErr> {
        self.bounded(self.pool.clone().close()).await
    }

    async fn bounded<T>(&self, read: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        in_time(self.passed(read)).await
    }

    async fn passed<T>(&self, read: impl Future<Output = T>) -> T {
        let _passed = self.gate.pass().await;
        read.await
    }
}

#[async_trait]
impl ConnectionTrait for Reader {
    fn get_database_backend(&self) -> DbBackend {
        self.pool.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.bounded(self.pool.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.bounded(self.pool.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.bounded(self.pool.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.bounded(self.pool.query_all_raw(statement)).await
    }
}

/// The result of the read, or an error after [`READ_TIMEOUT`].
async fn in_time<T>(read: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
    match timeout(READ_TIMEOUT, read).await {
        Ok(result) => result,
        Err(_) => Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)),
    }
}

impl WorkspaceReader {
    async fn bounded<T>(&self, read: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        let read = async {
            // First, so that what waits here does not keep the gate open.
            let _permit = self.share.permit().await;
            self.reader.passed(read).await
        };
        in_time(read).await
    }
}

#[async_trait]
impl ConnectionTrait for WorkspaceReader {
    fn get_database_backend(&self) -> DbBackend {
        self.reader.pool.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.bounded(self.reader.pool.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.bounded(self.reader.pool.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.bounded(self.reader.pool.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.bounded(self.reader.pool.query_all_raw(statement)).await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(200);

    #[test]
    fn the_connections_are_divided_and_each_kind_has_one() {
        let sizes = |all| {
            let sizes = PoolSizes::of(all);
            (sizes.engine, sizes.access, sizes.queries)
        };
        assert_eq!(sizes(16), (8, 4, 4));
        assert_eq!(sizes(4), (2, 1, 1));
        assert_eq!(sizes(1), (1, 1, 1));
        assert_eq!(sizes(1000), (500, 250, 250));
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_waits_at_a_closed_gate_until_it_is_open() {
        let gate = Gate::default();
        let closed = gate.close(PATIENCE).await.unwrap();
        let mut read = std::pin::pin!(gate.pass());
        assert!(read.as_mut().now_or_never().is_none());
        drop(closed);
        assert!(read.now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_takes_its_time_keeps_others_waiting_no_longer_than_the_patience() {
        let gate = Gate::default();
        let _long = gate.pass().await;
        let closing = gate.close(PATIENCE);
        let others = async {
            tokio::task::yield_now().await;
            timeout(PATIENCE, gate.pass()).await.is_ok()
        };
        let (closed, passed) = tokio::join!(closing, others);
        assert!(closed.is_none());
        assert!(passed);
    }
}
