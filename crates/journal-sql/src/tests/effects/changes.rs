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

on_both_engines!(
    async fn a_change_with_a_wrong_statement_is_told_so_and_costs_no_connection(scratch: Scratch) {
        let journal = scratch.open().await;
        let statements: &[&str] = match journal.reader().get_database_backend() {
            DbBackend::Postgres => &[
                "INSERT INTO nowhere (entry) VALUES (1)",
                "SELEC 1",
                "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            ],
            _ => &["INSERT INTO nowhere (entry) VALUES (1)", "SELEC 1"],
        };
        for statement in statements {
            let change = journal.write(move |transaction| {
                Box::pin(async move {
                    transaction.execute_unprepared(statement).await?;
                    Ok(((), Vec::new()))
                })
            });
            let refused = change.await.map(drop);
            assert!(
                matches!(refused, Err(ChangeError::Database(_))),
                "{statement}: {refused:?}"
            );
        }
        assert_eq!(scratch.reconnected(), 0);
        journal.stop().await;
    }
);
