//! Transactions that work begins within its own. Where one is refused or dropped while it begins, SeaORM and the driver
//! roll back levels that were never begun.

use sea_orm::TransactionTrait;

use super::{
    misuse::{SLOW, change_ledger, finished, run_between_others},
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
        let made = change_ledger(&journal, |transaction| {
            async move {
                drop(transaction.begin().now_or_never());
                let enter = transaction.execute_unprepared("INSERT INTO ledger (entry) VALUES ('b')");
                enter.await.map(drop)
            }
            .boxed()
        })
        .await;
        assert_eq!(made.is_ok(), entries(&journal).await == ["a", "b"], "{made:?}");
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
        let ends = [|| Ok(()), || Err(EffectFailure::new("the author says no"))];
        for (times, end) in (1..=3).flat_map(|times| ends.map(|end| (times, end))) {
            let misuse = EffectWork::new(move |transaction| {
                async move {
                    for _ in 0..times {
                        drop(transaction.begin().now_or_never());
                    }
                    end()
                }
                .boxed()
            });
            let end = run_between_others(&scratch, &journal, &given, Some(misuse)).await;

            assert!(
                !matches!(end, EffectEnd::Unavailable | EffectEnd::Refused),
                "{end:?}"
            );
            assert_eq!(entries(&journal).await, ["after", "before"]);
            kit::execute_directly(&journal, "DELETE FROM ledger").await;
        }
        journal.stop().await;
    }
);

on_both_engines!(
    async fn a_late_effect_whose_nested_transaction_was_dropped_costs_no_event_of_others(scratch: Scratch) {
        let settings = JournalSettings {
            effect_timeout: SHORT,
            ..scratch.settings()
        };
        let journal = scratch.open_with(settings).await;
        let given = EffectsOf::new(&scratch, &journal).await;
        for times in 1..=2 {
            let misuse = EffectWork::new(move |transaction| {
                async move {
                    for _ in 0..times {
                        drop(transaction.begin().now_or_never());
                    }
                    std::future::pending().await
                }
                .boxed()
            });
            let end = given.run(&journal, (event_id(), 1), Some(misuse), vec![new_event()]);
            let end = end.await.unwrap();
            // Beside the writer the driver has rolled its transaction back, which the work is told.
            assert!(
                matches!(
                    end,
                    EffectEnd::Again | EffectEnd::TimedOut | EffectEnd::EndedTransaction
                ),
                "{end:?}"
            );
            // The first of them is one statement, which begins no transaction of its own on SQLite.
            for events in 1..=3 {
                let events = (0..events).map(|_| new_event()).collect();
                kit::append(&journal, given.workspace, events)
                    .await
                    .unwrap()
                    .unwrap();
                kit::execute_directly(&journal, "SELECT 1").await;
            }
        }
        assert_eq!(kit::positions(&journal, given.workspace).await.len(), 12);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn a_statement_that_is_dropped_and_fails_undoes_its_effect_and_no_other(scratch: Scratch) {
        let journal = scratch.open().await;
        let given = EffectsOf::new(&scratch, &journal).await;
        let misuse = EffectWork::new(|transaction| {
            async move {
                let failing = "INSERT INTO ledger (entry) VALUES ('bad'), ('bad')";
                drop(transaction.execute_unprepared(failing).now_or_never());
                Ok(())
            }
            .boxed()
        });
        let end = run_between_others(&scratch, &journal, &given, Some(misuse)).await;
        match journal.reader().get_database_backend() {
            // SQLite undoes only the statement.
            sea_orm::DbBackend::Sqlite => assert!(matches!(end, EffectEnd::Committed { .. }), "{end:?}"),
            _ => assert!(matches!(end, EffectEnd::Refused | EffectEnd::Again), "{end:?}"),
        }
        assert_eq!(entries(&journal).await, ["after", "before"]);
        assert_eq!(scratch.reconnected(), 0, "the connection is well");
        journal.stop().await;
    }
);

/// A statement or a trigger of SQLite may roll back the whole transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_rolls_everything_back_costs_no_other_an_attempt() {
    let scratch = Scratch::sqlite();
    let journal = scratch.open().await;
    let given = EffectsOf::new(&scratch, &journal).await;
    let misuse = sql("INSERT OR ROLLBACK INTO ledger (entry) VALUES ('bad'), ('bad')");
    let end = run_between_others(&scratch, &journal, &given, misuse).await;
    assert!(
        matches!(end, EffectEnd::EndedTransaction | EffectEnd::Again),
        "{end:?}"
    );
    assert_eq!(entries(&journal).await, ["after", "before"]);
    assert_eq!(scratch.reconnected(), 0, "the connection is well");
    journal.stop().await;
}

/// PostgreSQL reports an internal error at the commit, after which nobody knows how the server is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_fails_for_an_unknown_reason_costs_no_other_an_attempt() {
    let scratch = Scratch::postgres().await;
    let journal = scratch.open().await;
    let given = EffectsOf::new(&scratch, &journal).await;
    for sql in [
        "CREATE TABLE vow (entry TEXT)",
        "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION 'broken' USING ERRCODE = 'XX000'; END $$",
        "CREATE CONSTRAINT TRIGGER broken AFTER INSERT ON vow DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION broken()",
    ] {
        kit::execute_directly(&journal, sql).await;
    }
    let vow = || sql("INSERT INTO vow (entry) VALUES ('broken')");
    let end = run_between_others(&scratch, &journal, &given, vow()).await;
    assert_eq!(entries(&journal).await, ["after", "before"]);
    if matches!(end, EffectEnd::Again) {
        // It shared its transaction. Now each has one to itself, also beside others.
        let gate = kit::hold(&journal).await;
        let beside = event_id();
        let end = given.run(&journal, (event_id(), 4), vow(), Vec::new());
        let other = given.run(&journal, (beside, 5), enter("beside"), Vec::new());
        drop(gate);
        let (end, other) = (end.await.unwrap(), other.await.unwrap());
        assert!(
            matches!(end, EffectEnd::Unavailable | EffectEnd::TimedOut),
            "it does not go on for ever: {end:?}"
        );
        finished(&journal, &given, (beside, 5), "beside", other).await;
    } else {
        // The machine was so busy that it had its transaction to itself.
        assert!(matches!(end, EffectEnd::Unavailable), "{end:?}");
    }
    journal.stop().await;
}

on_both_engines!(
    async fn a_nested_transaction_that_is_kept_in_use_does_not_end_the_writer(scratch: Scratch) {
        let journal = scratch.open().await;
        let given = EffectsOf::new(&scratch, &journal).await;
        let endless = match journal.reader().get_database_backend() {
            sea_orm::DbBackend::Sqlite => {
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
            }
            _ => "SET LOCAL statement_timeout = 0; SELECT pg_sleep(1000000)",
        };
        let misuse = EffectWork::new(move |transaction| {
            async move {
                let nested = transaction.begin().await.map_err(EffectFailure::new)?;
                tokio::spawn(async move { nested.execute_unprepared(endless).await });
                tokio::task::yield_now().await;
                Ok(())
            }
            .boxed()
        });
        let end = given.run(&journal, (event_id(), 1), Some(misuse), vec![new_event()]);
        let end = end.await.unwrap();
        // SQLite ends the statement with the time of the effect. Whether the effect has ended by then is left open.
        let recorded = matches!(end, EffectEnd::Committed { .. });
        kit::append_when_it_is_back(&journal, given.workspace).await;
        let positions = kit::positions(&journal, given.workspace).await;
        assert_eq!(positions.len(), 1 + usize::from(recorded), "{end:?}");
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
