//! Transactions that work begins within its own. Where one is refused or dropped while it begins, SeaORM and the driver
//! roll back levels that were never begun.

use sea_orm::TransactionTrait;

use super::{
    misuse::{SLOW, run_between_others},
    *,
};

/// Work that ignores the error of a statement, begins a transaction within its own, and returns `end`. PostgreSQL
/// refuses the nested transaction. The driver and SeaORM then roll back one level each: the whole shared transaction.
fn nesting_after_an_error(end: fn() -> Result<(), EffectFailure>) -> Option<EffectWork> {
    Some(EffectWork::new(move |transaction| {
        async move {
            let _ = transaction
                .execute_unprepared("INSERT INTO no_such_table VALUES (1)")
                .await;
            if let Ok(nested) = transaction.begin().await {
                nested.commit().await.map_err(EffectFailure::new)?;
            }
            end()
        }
        .boxed()
    }))
}

on_both_engines!(
    async fn a_nested_transaction_that_is_refused_costs_no_event_of_others(scratch: Scratch) {
        let journal = scratch.open().await;
        let given = EffectsOf::new(&scratch, &journal).await;
        let misuse = nesting_after_an_error(|| Ok(()));
        let end = run_between_others(&scratch, &journal, &given, misuse).await;
        let is_sqlite = journal.reader().get_database_backend() == sea_orm::DbBackend::Sqlite;
        match end {
            EffectEnd::Committed { .. } if is_sqlite => {}
            EffectEnd::EndedTransaction | EffectEnd::Again if !is_sqlite => {}
            end => panic!("{end:?}"),
        }
        assert_eq!(entries(&journal).await, ["after", "before"]);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn a_nested_transaction_that_is_refused_leaves_the_failure_of_its_effect(scratch: Scratch) {
        let journal = scratch.open().await;
        let given = EffectsOf::new(&scratch, &journal).await;
        let misuse = nesting_after_an_error(|| Err(EffectFailure::new("the author says no")));
        let end = run_between_others(&scratch, &journal, &given, misuse).await;
        assert!(matches!(end, EffectEnd::Failed(_) | EffectEnd::Again), "{end:?}");
        assert_eq!(entries(&journal).await, ["after", "before"]);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn a_change_whose_nested_transaction_is_dropped_is_not_told_to_be_made(scratch: Scratch) {
        let journal = scratch.open().await;
        kit::execute_directly(&journal, "CREATE TABLE ledger (entry TEXT PRIMARY KEY)").await;
        let made = journal
            .write(|transaction| {
                Box::pin(async move {
                    transaction
                        .execute_unprepared("INSERT INTO ledger (entry) VALUES ('lost')")
                        .await?;
                    drop(transaction.begin().now_or_never());
                    transaction
                        .execute_unprepared("INSERT INTO ledger (entry) VALUES ('alone')")
                        .await?;
                    Ok(((), Vec::new()))
                })
            })
            .await;
        assert_eq!(
            made.is_ok(),
            entries(&journal).await == ["alone", "lost"],
            "{made:?}"
        );
        kit::append_when_it_is_back(&journal, scratch.workspace()).await;
        journal.stop().await;
    }
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_effect_whose_nested_transaction_is_refused_is_not_told_to_be_done() {
    let scratch = Scratch::postgres().await;
    let journal = scratch.open().await;
    let given = EffectsOf::new(&scratch, &journal).await;
    let slow = || {
        Some(EffectWork::new(|transaction| {
            async move {
                for statement in [SLOW, "INSERT INTO ledger (entry) VALUES ('lost')", "SELECT 1 / 0"] {
                    let _ = transaction.execute_unprepared(statement).await;
                }
                let _ = transaction.begin().await;
                Ok(())
            }
            .boxed()
        }))
    };
    let end = given
        .end_of(&journal, (event_id(), 1), slow, vec![new_event()])
        .await;
    assert!(matches!(end, EffectEnd::EndedTransaction), "{end:?}");
    let next = given
        .end_of(&journal, (event_id(), 2), || enter("next"), vec![new_event()])
        .await;
    assert!(matches!(next, EffectEnd::Committed { .. }), "{next:?}");
    assert_eq!(entries(&journal).await, ["next"]);
    assert_eq!(kit::positions(&journal, given.workspace).await, [1]);
    journal.stop().await;
}

on_both_engines!(
    async fn a_nested_transaction_that_is_dropped_while_it_begins_costs_no_event_of_others(scratch: Scratch) {
        let journal = scratch.open().await;
        let given = EffectsOf::new(&scratch, &journal).await;
        for end in [|| Ok(()), || Err(EffectFailure::new("the author says no"))] {
            let misuse = EffectWork::new(move |transaction| {
                async move {
                    drop(transaction.begin().now_or_never());
                    end()
                }
                .boxed()
            });
            run_between_others(&scratch, &journal, &given, Some(misuse)).await;
            assert_eq!(entries(&journal).await, ["after", "before"]);
            kit::execute_directly(&journal, "DELETE FROM ledger").await;
        }
        journal.stop().await;
    }
);

on_both_engines!(
    async fn a_nested_transaction_that_is_given_up_costs_no_event_of_others(scratch: Scratch) {
        let settings = JournalSettings {
            effect_timeout: SHORT,
            ..scratch.settings()
        };
        let journal = scratch.open_with(settings).await;
        let given = EffectsOf::new(&scratch, &journal).await;
        let endless = match journal.reader().get_database_backend() {
            sea_orm::DbBackend::Sqlite => {
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
            }
            _ => "SELECT pg_sleep(1000000)",
        };
        let misuse = EffectWork::new(move |transaction| {
            async move {
                // The nested transaction waits for the connection until the time-out, and has not begun then.
                let _ = join(transaction.execute_unprepared(endless), transaction.begin()).await;
                Ok(())
            }
            .boxed()
        });
        let end = run_between_others(&scratch, &journal, &given, Some(misuse)).await;
        assert!(
            matches!(
                end,
                // SQLite ends only the statement: the work then begins, and is done.
                EffectEnd::Again | EffectEnd::TimedOut | EffectEnd::Committed { .. }
            ),
            "{end:?}"
        );
        assert_eq!(entries(&journal).await, ["after", "before"]);
        journal.stop().await;
    }
);
