//! The pool for reads, with a time-out on every read, so that no caller waits for a server that does not answer.

use std::{sync::Arc, time::Duration};

use sea_orm::{
    ConnAcquireErr, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult,
    Statement, prelude::async_trait::async_trait,
};
use tokio::{
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::timeout,
};

/// The longest time of a read, including the wait for a connection.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that only read. Every statement ends within 5 s, with [`DbErr::ConnectionAcquire`] where the
/// database does not answer.
#[derive(Clone, Debug)]
pub struct Reader {
    pool: DatabaseConnection,
    gate: Gate,
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
    pub(super) const fn over(pool: DatabaseConnection, gate: Gate) -> Self {
        Self { pool, gate }
    }

    pub(super) async fn close(&self) -> Result<(), DbErr> {
        self.bounded(self.pool.clone().close()).await
    }

    async fn bounded<T>(&self, read: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        let read = async {
            let _passed = self.gate.pass().await;
            read.await
        };
        match timeout(READ_TIMEOUT, read).await {
            Ok(result) => result,
            Err(_) => Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)),
        }
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(200);

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
