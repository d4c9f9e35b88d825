//! Changes of hosts, beside which events are published.

use sea_orm::{DbBackend, TransactionTrait};

use super::{misuse::create_deferred_key, *};
use pointsman_journal::ChangeError;

/// How a change comes to its end after a nested transaction that the driver did not begin.
#[derive(Clone, Copy, Debug)]
enum Nesting {
    /// It is refused after an error, of which the change then tells.
    Refused,
    /// It is refused after an error, and the change panics.
    Panics,
    /// It is dropped while it begins, and the change fails for a reason of its own.
    Dropped,
}

async fn change(journal: &OpenJournal, nesting: Nesting) -> Result<(), ChangeError> {
    let insert = "INSERT INTO ledger (entry) VALUES ('taken')";
    let made = journal.write(move |transaction| {
        Box::pin(async move {
            if matches!(nesting, Nesting::Dropped) {
                drop(transaction.begin().now_or_never());
                return Err(ChangeError::NotFound("entry"));
            }
            let Err(error) = transaction.execute_unprepared(insert).await else {
                return Ok(((), Vec::new()));
            };
            match transaction.begin().await {
                Ok(nested) => nested.commit().await?,
                Err(_) if matches!(nesting, Nesting::Panics) => panic!("the second way is blocked, too"),
                Err(_) => {}
            }
            Err(error.into())
        })
    });
    tokio::time::timeout(PATIENCE, made).await.unwrap()
}

on_both_engines!(
    async fn events_after_a_change_with_a_failed_nested_transaction_are_durable(scratch: Scratch) {
        let journal = scratch.open().await;
        let given = EffectsOf::new(&scratch, &journal).await;
        kit::execute_directly(&journal, "INSERT INTO ledger (entry) VALUES ('taken')").await;
        let mut published = 0;
        for nesting in [Nesting::Refused, Nesting::Panics, Nesting::Dropped] {
            assert!(change(&journal, nesting).await.is_err(), "{nesting:?}");
            for _ in 0..3 {
                kit::append(&journal, given.workspace, vec![new_event()])
                    .await
                    .unwrap()
                    .unwrap();
                published += 1;
                let seen = kit::positions(&journal, given.workspace).await;
                assert_eq!(seen, (1..=published).collect::<Vec<_>>(), "{nesting:?}");
            }
        }
        journal.stop().await;
    }
);

on_both_engines!(
    async fn a_change_that_is_refused_at_the_commit_is_told_so(scratch: Scratch) {
        let journal = scratch.open().await;
        create_deferred_key(&journal).await;
        let change = journal.write(|transaction| {
            Box::pin(async move {
                let dangling = "INSERT INTO promise (payer) VALUES (7)";
                transaction.execute_unprepared(dangling).await?;
                Ok(((), Vec::new()))
            })
        });
        let refused = change.await.unwrap_err();
        assert!(matches!(refused, ChangeError::Database(_)), "{refused:?}");
        kit::append(&journal, scratch.workspace(), vec![new_event()])
            .await
            .unwrap()
            .unwrap();
        assert_eq!(scratch.reconnected(), 0);
        journal.stop().await;
    }
);

/// A change that executes the statements and goes on after an error in any but the last.
async fn executed(journal: &OpenJournal, statements: &'static [&'static str]) -> Result<(), ChangeError> {
    let change = journal.write(move |transaction| {
        Box::pin(async move {
            let mut last = Ok(());
            for statement in statements {
                last = transaction.execute_unprepared(statement).await.map(drop);
            }
            last?;
            Ok(((), Vec::new()))
        })
    });
    change.await
}

on_both_engines!(
    async fn a_change_that_fails_is_told_how_and_costs_no_connection(scratch: Scratch) {
        let journal = scratch.open().await;
        EffectsOf::new(&scratch, &journal).await;
        let of_both: [&[&str]; 2] = [&["INSERT INTO nowhere (entry) VALUES (1)"], &["SELEC 1"]];
        let of_postgres: [&[&str]; 6] = [
            &["SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"],
            &["INSERT INTO nowhere (entry) VALUES (1)", "SELECT 1"],
            &["SET LOCAL statement_timeout = 1", "SELECT pg_sleep(60)"],
            &["DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'MY001'; END $$"],
            &["SET search_path = nowhere", "CREATE TABLE there (id INTEGER)"],
            &["SELECT pg_advisory_xact_lock(1, 2, 3)"],
        ];
        let is_postgres = journal.reader().get_database_backend() == DbBackend::Postgres;
        let more = of_postgres.into_iter().filter(|_| is_postgres);
        for statements in of_both.into_iter().chain(more) {
            let refused = executed(&journal, statements).await;
            assert!(
                matches!(refused, Err(ChangeError::Database(_))),
                "{statements:?}: {refused:?}"
            );
        }
        let refused: Result<(), _> = journal
            .write(|_| Box::pin(async { Err(DbErr::RecordNotUpdated.into()) }))
            .await;
        let is_told = |error: &ChangeError| matches!(error, ChangeError::Database(DbErr::RecordNotUpdated));
        assert!(refused.as_ref().is_err_and(is_told), "{refused:?}");
        kit::append(&journal, scratch.workspace(), vec![new_event()])
            .await
            .unwrap()
            .unwrap();
        assert_eq!(scratch.reconnected(), 0);
        journal.stop().await;
    }
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deferred_to_the_commit_of_a_change_sees_what_it_has_set() {
    let scratch = Scratch::postgres().await;
    let journal = scratch.open().await;
    EffectsOf::new(&scratch, &journal).await;
    let prepared: [&[&str]; 2] = [
        &[
            "CREATE TABLE audited (id INTEGER)",
            "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF NEW.id < 0 THEN RAISE EXCEPTION 'no' USING ERRCODE = 'MY001'; END IF; \
             INSERT INTO ledger (entry) VALUES (current_setting('app.who', true)); RETURN NULL; END $$",
            "CREATE CONSTRAINT TRIGGER audit AFTER INSERT ON audited DEFERRABLE INITIALLY DEFERRED \
             FOR EACH ROW EXECUTE FUNCTION audit()",
        ],
        &[
            "SET LOCAL app.who = 'anna'",
            "INSERT INTO audited (id) VALUES (1)",
        ],
    ];
    for statements in prepared {
        executed(&journal, statements).await.unwrap();
    }
    assert_eq!(entries(&journal).await, ["anna"]);
    // What such a trigger refuses is refused, whatever its code, and not in doubt.
    let refused = executed(&journal, &["INSERT INTO audited (id) VALUES (-1)"]).await;
    assert!(matches!(refused, Err(ChangeError::Database(_))), "{refused:?}");
    let given = EffectsOf::new(&scratch, &journal).await;
    let insert = || sql("INSERT INTO audited (id) VALUES (-1)");
    for slow in ["", "SELECT pg_sleep(0.1); "] {
        let work = || sql(format!("{slow}INSERT INTO audited (id) VALUES (-1)"));
        let end = given.end_of(&journal, (event_id(), 1), work, Vec::new()).await;
        assert!(matches!(end, EffectEnd::Refused), "{end:?}");
    }
    let end = given.end_of(&journal, (event_id(), 2), insert, Vec::new()).await;
    assert!(matches!(end, EffectEnd::Refused), "{end:?}");
    assert_eq!(scratch.reconnected(), 0);
    journal.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_plan_has_become_wrong_succeeds_when_it_is_made_again() {
    let scratch = Scratch::postgres().await;
    let journal = scratch.open().await;
    kit::execute_directly(&journal, "CREATE TABLE counted (id INTEGER)").await;
    let read = || {
        journal.write(|transaction| {
            Box::pin(async move {
                let sql = "SELECT id FROM counted WHERE id > $1";
                let values = [sea_orm::Value::from(0)];
                let statement = sea_orm::Statement::from_sql_and_values(DbBackend::Postgres, sql, values);
                transaction.query_all_raw(statement).await?;
                Ok(((), Vec::new()))
            })
        })
    };
    for _ in 0..3 {
        read().await.unwrap();
    }
    kit::execute_directly(&journal, "ALTER TABLE counted ALTER COLUMN id TYPE BIGINT").await;
    assert!(read().await.is_err());
    kit::append_when_it_is_back(&journal, scratch.workspace()).await;
    read().await.unwrap();
    journal.stop().await;
}
