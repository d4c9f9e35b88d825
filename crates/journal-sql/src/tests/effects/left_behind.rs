//! Work that leaves statements, nested transactions or an ended transaction behind, again and again.

use futures_util::future::BoxFuture;
use sea_orm::{DatabaseTransaction, TransactionTrait};
use tokio::time::timeout;

use super::{
    misuse::{SLOW, change_ledger, finished},
    *,
};

/// A statement that never ends by itself.
fn endless(journal: &OpenJournal) -> &'static str {
    match journal.reader().get_database_backend() {
        sea_orm::DbBackend::Sqlite => {
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
        }
        _ => "SET LOCAL statement_timeout = 0; SELECT pg_sleep(1000000)",
    }
}

/// Work over the transaction that ends as `rest` does.
pub(super) fn work(
    rest: impl for<'a> FnOnce(&'a DatabaseTransaction) -> BoxFuture<'a, Result<(), DbErr>> + Send + 'static,
) -> Option<EffectWork> {
    Some(EffectWork::new(move |transaction| {
        async move { rest(transaction).await.map_err(EffectFailure::new) }.boxed()
    }))
}

/// Executes the statement, and gives it up at its first wait.
fn dropping(statement: &'static str) -> Option<EffectWork> {
    work(move |transaction| {
        async move {
            drop(transaction.execute_unprepared(statement).now_or_never());
            Ok(())
        }
        .boxed()
    })
}

/// Keeps the nested transaction, which a thread of its own uses for ever once the work has returned.
///
/// The caller drops what this returns as its work returns.
fn keep_in_use(nested: DatabaseTransaction, statement: &'static str) -> oneshot::Sender<()> {
    let (returning, returned) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async move {
            let _ = returned.await;
            // The connection serves those that wait for it in turn: this one may come between two of the journal's.
            let _ = nested.execute_unprepared("SELECT 1").await;
            let _ = nested.execute_unprepared(statement).await;
        });
    });
    returning
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_effect_of_events_alone_is_not_charged_for_a_neighbour_that_commits() {
    let scratch = Scratch::postgres().await;
    let journal = scratch.open().await;
    let given = EffectsOf::new(&scratch, &journal).await;
    let gate = kit::hold(&journal).await;
    let bad = given.run(&journal, (event_id(), 1), sql("COMMIT"), Vec::new());
    let behind = event_id();
    let other = given.run(&journal, (behind, 2), None, vec![new_event()]);
    drop(gate);
    let end = bad.await.unwrap();
    assert!(matches!(end, EffectEnd::Committed { .. }), "{end:?}");
    let end = other.await.unwrap();
    assert!(
        matches!(end, EffectEnd::Committed { .. } | EffectEnd::Again),
        "{end:?}"
    );
    finished(&journal, &given, (behind, 2), "behind", end).await;
    journal.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_effect_that_spoils_the_session_costs_no_neighbour_an_attempt() {
    let scratch = Scratch::postgres().await;
    let journal = scratch.open().await;
    let bad = EffectsOf::new(&scratch, &journal).await;
    let (workspace, installation) = scratch.installed(&journal, "chat").await;
    let generation = journal.attach(installation).await.unwrap().generation;
    let good = EffectsOf {
        workspace,
        installation,
        generation,
    };
    for seq in 1..4 {
        let gate = kit::hold(&journal).await;
        let spoil = sql("SET LOCAL search_path = pg_catalog");
        let spoiled = bad.run(&journal, (event_id(), seq), spoil, Vec::new());
        let (delivery, entry) = ((event_id(), seq), format!("good {seq}"));
        let beside = good.run(&journal, delivery, enter(&entry), vec![new_event()]);
        drop(gate);
        let end = beside.await.unwrap();
        finished(&journal, &good, delivery, &entry, end).await;
        // However it ends: it is not the one that is told.
        drop(spoiled.await);
    }
    assert!(scratch.reconnected() <= 1, "it is known by then");
    journal.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn effects_that_end_their_transaction_cost_the_writer_one_connection() {
    let ending = |statement: &'static str, fails: bool| {
        work(move |transaction| {
            async move {
                transaction.execute_unprepared(statement).await?;
                match fails {
                    true => Err(DbErr::Custom("as its author says".to_owned())),
                    false => Ok(()),
                }
            }
            .boxed()
        })
    };
    for (statement, fails) in [("COMMIT", false), ("ROLLBACK", false), ("ROLLBACK", true)] {
        let scratch = Scratch::postgres().await;
        let journal = scratch.open().await;
        let given = EffectsOf::new(&scratch, &journal).await;
        for seq in 1..8 {
            let end = given.end_of(
                &journal,
                (event_id(), seq),
                || ending(statement, fails),
                Vec::new(),
            );
            let end = end.await;
            assert!(
                !matches!(end, EffectEnd::Unavailable | EffectEnd::Refused),
                "{end:?}"
            );
            kit::append_when_it_is_back(&journal, given.workspace).await;
        }
        assert_eq!(scratch.reconnected(), 1, "{statement}");
        journal.stop().await;
    }
}

on_both_engines!(
    async fn a_statement_that_was_given_up_ends_with_the_time_of_its_effect(scratch: Scratch) {
        let settings = JournalSettings {
            effect_timeout: SHORT,
            ..scratch.settings()
        };
        let journal = scratch.open_with(settings).await;
        let given = EffectsOf::new(&scratch, &journal).await;
        let statement = match journal.reader().get_database_backend() {
            sea_orm::DbBackend::Sqlite => endless(&journal),
            _ => "SELECT pg_sleep(1000000)",
        };
        for seq in 1..4 {
            let gate = kit::hold(&journal).await;
            let beside = event_id();
            let bad = given.run(&journal, (event_id(), seq), dropping(statement), Vec::new());
            let other = given.run(&journal, (beside, 10 + seq), None, vec![new_event()]);
            let append = kit::append(&journal, given.workspace, vec![new_event()]);
            drop(gate);
            append.await.unwrap().unwrap();
            let end = other.await.unwrap();
            assert!(
                matches!(end, EffectEnd::Committed { .. } | EffectEnd::Again),
                "{end:?}"
            );
            finished(&journal, &given, (beside, 10 + seq), "beside", end).await;
            let end = bad.await.unwrap();
            assert!(
                !matches!(end, EffectEnd::Unavailable),
                "the database is well: {end:?}"
            );
        }
        assert_eq!(scratch.reconnected(), 0, "the connection is well");
        journal.stop().await;
    }
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_was_given_up_gets_the_time_it_needs() {
    let scratch = Scratch::postgres().await;
    let journal = scratch.open().await;
    let given = EffectsOf::new(&scratch, &journal).await;
    let end = given
        .end_of(&journal, (event_id(), 1), || dropping(SLOW), Vec::new())
        .await;
    assert!(matches!(end, EffectEnd::Committed { .. }), "{end:?}");
    journal.stop().await;
}

on_both_engines!(
    async fn an_effect_of_large_events_gets_the_time_it_needs(scratch: Scratch) {
        let journal = scratch.open().await;
        let given = EffectsOf::new(&scratch, &journal).await;
        // Not to be compressed, since that makes the writing quick.
        let digits = |number: usize| format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let text: String = (0..65_536).map(digits).collect();
        let event = || NewEvent {
            payload: format!("\"{text}\"").into(),
            ..new_event()
        };
        let events = || (0..16).map(|_| event()).collect();
        let end = given
            .run(&journal, (event_id(), 1), None, events())
            .await
            .unwrap();
        assert!(matches!(end, EffectEnd::Committed { .. }), "{end:?}");
        journal.stop().await;
    }
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_effect_that_gives_a_failing_statement_up_is_refused_by_itself() {
    let scratch = Scratch::postgres().await;
    let journal = scratch.open().await;
    let given = EffectsOf::new(&scratch, &journal).await;
    let failing = || {
        work(|transaction| {
            async move {
                transaction.execute_unprepared(SLOW).await?;
                let twice = "INSERT INTO ledger (entry) VALUES ('bad'), ('bad')";
                drop(transaction.execute_unprepared(twice).now_or_never());
                Ok(())
            }
            .boxed()
        })
    };
    let end = given.end_of(&journal, (event_id(), 1), failing, Vec::new()).await;
    assert!(matches!(end, EffectEnd::Refused), "{end:?}");
    journal.stop().await;
}

on_both_engines!(
    async fn a_change_that_keeps_a_nested_transaction_in_use_does_not_end_the_writer(scratch: Scratch) {
        let journal = scratch.open().await;
        let statement = endless(&journal);
        let made = change_ledger(&journal, move |transaction| {
            async move {
                let nested = transaction.begin().await?;
                let mut using = async move { nested.execute_unprepared(statement).await }.boxed();
                // Its first step takes the connection, which it never gives back.
                assert!((&mut using).now_or_never().is_none());
                tokio::spawn(using);
                Err(DbErr::Custom("no".to_owned()))
            }
            .boxed()
        });
        assert!(timeout(PATIENCE, made).await.unwrap().is_err());
        let back = kit::append_when_it_is_back(&journal, scratch.workspace());
        timeout(PATIENCE, back).await.unwrap();
        journal.stop().await;
    }
);

on_both_engines!(
    async fn a_nested_transaction_that_is_used_during_the_commit_does_not_end_the_writer(scratch: Scratch) {
        let journal = scratch.open().await;
        let given = EffectsOf::new(&scratch, &journal).await;
        let statement = endless(&journal);
        for seq in 1..3 {
            let keeping = move |slow: bool| {
                work(move |transaction| {
                    async move {
                        if slow {
                            let _ = transaction.execute_unprepared(SLOW).await;
                        }
                        let nested = transaction.begin().await?;
                        let _returning = keep_in_use(nested, statement);
                        Ok(())
                    }
                    .boxed()
                })
            };
            for slow in [false, true] {
                let delivery = (event_id(), seq);
                let end = given
                    .end_of(&journal, delivery, || keeping(slow), Vec::new())
                    .await;
                let back = kit::append_when_it_is_back(&journal, given.workspace);
                assert!(
                    timeout(PATIENCE, back).await.is_ok(),
                    "the writer has ended, after {end:?}"
                );
            }
        }
        journal.stop().await;
    }
);
