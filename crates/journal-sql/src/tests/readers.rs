//! What people look at delays neither the engine nor access, and ends.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend, Statement};
use tokio::time::timeout;

use super::*;

/// So long that no test depends on the speed of its machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn open(scratch: &Scratch, max_connections: u32) -> OpenJournal {
    let settings = JournalSettings {
        max_connections,
        ..scratch.settings()
    };
    scratch.open_with(settings).await
}

/// A query that does not end by itself.
fn endless(backend: DbBackend) -> Statement {
    let sql = match backend {
        DbBackend::Sqlite => {
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
        }
        _ => "SELECT pg_sleep(1000000)",
    };
    Statement::from_string(backend, sql)
}

async fn reads(reader: &impl ConnectionTrait) -> bool {
    let one = Statement::from_string(reader.get_database_backend(), "SELECT 1");
    reader.query_one_raw(one).await.is_ok()
}

/// Executes endless queries until the test ends.
fn scan<R: ConnectionTrait + Clone + Send + Sync + 'static>(reader: &R, times: usize) {
    for _ in 0..times {
        let reader = reader.clone();
        tokio::spawn(async move {
            loop {
                let query = endless(reader.get_database_backend());
                assert!(reader.query_one_raw(query).await.is_err());
            }
        });
    }
}

on_both_engines!(
    async fn a_query_whose_caller_has_gone_ends_and_its_connection_serves_the_next(scratch: Scratch) {
        let journal = open(&scratch, 1).await;
        let queries = &journal.readers().queries;
        let query = queries.query_one_raw(endless(queries.get_database_backend()));
        assert!(
            timeout(Duration::from_millis(50), query).await.is_err(),
            "the caller goes"
        );
        let next = async { while !reads(queries).await {} };
        timeout(PATIENCE, next).await.expect("the query has ended");
        journal.stop().await;
    }
);

on_both_engines!(
    async fn queries_that_take_every_connection_hold_up_neither_the_engine_nor_access(scratch: Scratch) {
        let journal = open(&scratch, 1).await;
        let workspace = scratch.workspace();
        scan(&journal.readers().queries, 8);
        for _ in 0..20 {
            assert!(reads(&journal.readers().access).await);
            journal.load(workspace).await.unwrap();
        }
    }
);

on_both_engines!(
    async fn the_queries_of_a_workspace_leave_connections_to_others(scratch: Scratch) {
        let journal = open(&scratch, 8).await;
        let queries = &journal.readers().queries;
        scan(&queries.of(scratch.workspace()), 40);
        let other = queries.of(scratch.workspace());
        for _ in 0..20 {
            assert!(reads(&other).await);
        }
    }
);
