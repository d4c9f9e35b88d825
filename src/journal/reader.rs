//! The pool for reads, with a bound on every read: a server that has stopped answering leaves nobody waiting.

use std::time::Duration;

use sea_orm::{
    ConnAcquireErr, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult,
    Statement, prelude::async_trait::async_trait,
};
use tokio::time::timeout;

/// The longest that a read takes, the wait for a connection included.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that only read. Every statement ends within 5 s, with [`DbErr::ConnectionAcquire`] where the
/// database does not answer.
#[derive(Clone, Debug)]
pub struct Reader(DatabaseConnection);

impl Reader {
    pub(super) const fn over(pool: DatabaseConnection) -> Self {
        Self(pool)
    }

    pub(super) async fn close(&self) -> Result<(), DbErr> {
        bounded(self.0.clone().close()).await
    }
}

#[async_trait]
impl ConnectionTrait for Reader {
    fn get_database_backend(&self) -> DbBackend {
        self.0.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        bounded(self.0.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        bounded(self.0.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        bounded(self.0.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        bounded(self.0.query_all_raw(statement)).await
    }
}

async fn bounded<T>(read: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
    match timeout(READ_TIMEOUT, read).await {
        Ok(result) => result,
        Err(_) => Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)),
    }
}
