//! Work that does what it must not do, and what becomes of everybody else.

use super::*;

/// What two others and a publisher see of an effect: it is run between them, in one transaction if that may be.
async fn beside(
    scratch: &Scratch,
    journal: &OpenJournal,
    given: &Given,
    misuse: Option<EffectWork>,
) -> EffectEnd {
    let gate = kit::hold(journal).await;
    let publish = || vec![new_event()];
    let (before, after) = (event_id(), event_id());
    let first = given.run(journal, (before, 1), enter("before"), publish());
    let bad = given.run(journal, (event_id(), 2), misuse, publish());
    let last = given.run(journal, (after, 3), enter("after"), publish());
    drop(gate);
    let end = bad.await.unwrap();
    finished(journal, given, (before, 1), "before", first.await.unwrap()).await;
    finished(journal, given, (after, 3), "after", last.await.unwrap()).await;
    // Nobody else is refused, and every event has a place of its own.
    let next = kit::append(journal, given.workspace, publish());
    next.await.unwrap().unwrap();
    let places = kit::places(journal, given.workspace).await;
    let count = i64::try_from(places.len()).unwrap();
    assert_eq!(places, (1..=count).collect::<Vec<_>>());
    let told: usize = scratch.committed(journal).await.iter().map(Vec::len).sum();
    assert_eq!(told, places.len(), "who watches the log is told of each");
    end
}

/// An effect that another took along, or that had no time on a busy machine, is run again, once the handler was
/// called again.
pub(super) async fn finished(
    journal: &OpenJournal,
    given: &Given,
    delivery: (EventId, i64),
    entry: &str,
    mut end: EffectEnd,
) {
    let finished = async {
        while matches!(end, EffectEnd::Again | EffectEnd::TimedOut) {
            end = given
                .run(journal, delivery, enter(entry), Vec::new())
                .await
                .unwrap();
        }
        end
    };
    let end = tokio::time::timeout(PATIENCE, finished).await.unwrap();
    assert!(matches!(end, EffectEnd::Committed { .. }), "{entry}: {end:?}");
}

/// A row that refers to none, which is looked at only when the transaction is committed.
async fn with_promises(journal: &OpenJournal) {
    for sql in [
        "CREATE TABLE payer (id INTEGER PRIMARY KEY)",
        "CREATE TABLE promise (payer INTEGER REFERENCES payer (id) DEFERRABLE INITIALLY DEFERRED)",
    ] {
        kit::vandalise(journal, sql).await;
    }
}

on_both_engines!(
    async fn what_the_database_refuses_at_the_commit_is_the_failure_of_its_effect(scratch: Scratch) {
        let journal = scratch.open().await;
        let given = Given::new(&scratch, &journal).await;
        with_promises(&journal).await;
        let promise = || sql("INSERT INTO promise VALUES (7)");
        let mut end = beside(&scratch, &journal, &given, promise()).await;
        if matches!(end, EffectEnd::Again) {
            // It is found by itself.
            let bad = (event_id(), 2);
            end = given.end_of(&journal, bad, promise, vec![new_event()]).await;
        }
        assert!(matches!(end, EffectEnd::Refused), "{end:?}");
        assert_eq!(entries(&journal).await, ["after", "before"]);
        assert!(journal.storage_state().is_ok(), "the connection is well");
        journal.stop().await;
    }
);

on_both_engines!(
    async fn an_effect_that_rolls_everything_back_leaves_nothing(scratch: Scratch) {
        let journal = scratch.open().await;
        let given = Given::new(&scratch, &journal).await;
        let gate = kit::hold(&journal).await;
        let work = || sql("INSERT INTO ledger VALUES ('lost'); ROLLBACK");
        let end = given.end_of(&journal, (event_id(), 1), work, vec![new_event()]);
        let (end, ()) = join(end, async { drop(gate) }).await;
        assert!(
            matches!(end, EffectEnd::EndedTransaction | EffectEnd::Unavailable),
            "{end:?}"
        );
        assert!(entries(&journal).await.is_empty());
        assert!(kit::places(&journal, given.workspace).await.is_empty());
        assert_eq!(marks(&journal).await, 0);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn an_effect_that_commits_is_done_once_or_not_at_all(scratch: Scratch) {
        let journal = scratch.open().await;
        let given = Given::new(&scratch, &journal).await;
        let work = || sql("INSERT INTO ledger VALUES ('early'); COMMIT");
        let end = given
            .end_of(&journal, (event_id(), 1), work, vec![new_event()])
            .await;
        // SQLite lets us refuse the commit. On PostgreSQL it has been made, with everything that belongs to it.
        let done = match end {
            EffectEnd::Committed { .. } | EffectEnd::AlreadyDone => 1,
            EffectEnd::EndedTransaction => 0,
            end => panic!("{end:?}"),
        };
        assert_eq!(entries(&journal).await.len(), done);
        assert_eq!(marks(&journal).await, done);
        assert_eq!(kit::places(&journal, given.workspace).await.len(), done);
        kit::append_when_it_is_back(&journal, given.workspace).await;
        assert_eq!(kit::places(&journal, given.workspace).await.len(), done + 1);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn an_effect_that_blocks_its_thread_holds_nobody_up(scratch: Scratch) {
        let settings = JournalSettings {
            effect_timeout: SHORT,
            ..scratch.settings()
        };
        let journal = scratch.open_with(settings).await;
        let given = Given::new(&scratch, &journal).await;
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        let blocking = EffectWork::new(move |_| {
            async move {
                // Until the test is over: the sender is dropped then.
                let _ = blocked.recv();
                Ok(())
            }
            .boxed()
        });
        let end = given.run(&journal, (event_id(), 1), Some(blocking), vec![new_event()]);
        let beside = given.run(&journal, (event_id(), 2), enter("beside"), Vec::new());
        let end = end.await.unwrap();
        assert!(matches!(end, EffectEnd::TimedOut), "{end:?}");
        kit::append_when_it_is_back(&journal, given.workspace).await;
        finished(&journal, &given, (event_id(), 2), "beside", beside.await.unwrap()).await;
        assert_eq!(entries(&journal).await, ["beside"]);
        assert_eq!(kit::places(&journal, given.workspace).await, [1]);
        drop(release);
        journal.stop().await;
    }
);

/// Goes on after an error of the database.
fn ignoring(statement: &'static str) -> Option<EffectWork> {
    Some(EffectWork::new(move |transaction| {
        async move {
            // What is ignored here has ended the savepoint on PostgreSQL.
            let _ = transaction.execute_unprepared(statement).await;
            Ok(())
        }
        .boxed()
    }))
}

on_both_engines!(
    async fn an_effect_that_ignores_an_error_takes_nobody_along(scratch: Scratch) {
        let journal = scratch.open().await;
        let given = Given::new(&scratch, &journal).await;
        let taken = || enter("taken");
        let first = given.end_of(&journal, (event_id(), 1), taken, Vec::new()).await;
        assert!(matches!(first, EffectEnd::Committed { .. }), "{first:?}");
        let twice = ignoring("INSERT INTO ledger (entry) VALUES ('taken')");
        let end = beside(&scratch, &journal, &given, twice).await;
        // Another may have taken it along, or the machine had no time for it.
        let end = match end {
            EffectEnd::Again => {
                let twice = || ignoring("INSERT INTO ledger (entry) VALUES ('taken')");
                given.end_of(&journal, (event_id(), 4), twice, Vec::new()).await
            }
            end => end,
        };
        assert_ignored(&journal, &end);
        assert_eq!(scratch.reconnected(), 0, "the connection is well");
        journal.stop().await;
    }
);

/// SQLite undoes the statement alone; PostgreSQL lets nothing be done after it.
fn assert_ignored(journal: &OpenJournal, end: &EffectEnd) {
    match journal.reader().get_database_backend() {
        sea_orm::DbBackend::Sqlite => assert!(matches!(end, EffectEnd::Committed { .. }), "{end:?}"),
        _ => assert!(matches!(end, EffectEnd::Refused), "{end:?}"),
    }
}

/// Takes longer than a transaction that others share has for it. SQLite has no such function, and is done at once.
const SLOW: &str = "SELECT pg_sleep(0.1)";

on_both_engines!(
    async fn a_slow_statement_that_is_cut_short_and_ignored_gets_the_time_it_needs(scratch: Scratch) {
        let journal = scratch.open().await;
        let given = Given::new(&scratch, &journal).await;
        let slow = || ignoring(SLOW);
        let end = given.end_of(&journal, (event_id(), 1), slow, Vec::new()).await;
        assert!(matches!(end, EffectEnd::Committed { .. }), "{end:?}");
        assert_eq!(scratch.reconnected(), 0, "the connection is well");
        journal.stop().await;
    }
);

on_both_engines!(
    async fn a_slow_effect_that_ignores_an_error_is_refused_beside_the_writer(scratch: Scratch) {
        let journal = scratch.open().await;
        let given = Given::new(&scratch, &journal).await;
        let taken = || enter("taken");
        let first = given.end_of(&journal, (event_id(), 1), taken, Vec::new()).await;
        assert!(matches!(first, EffectEnd::Committed { .. }), "{first:?}");
        let twice = || {
            Some(EffectWork::new(move |transaction| {
                async move {
                    for statement in [SLOW, "INSERT INTO ledger (entry) VALUES ('taken')"] {
                        let _ = transaction.execute_unprepared(statement).await;
                    }
                    Ok(())
                }
                .boxed()
            }))
        };
        let end = given.end_of(&journal, (event_id(), 2), twice, Vec::new()).await;
        assert_ignored(&journal, &end);
        let next = given
            .end_of(&journal, (event_id(), 3), || enter("next"), Vec::new())
            .await;
        assert!(matches!(next, EffectEnd::Committed { .. }), "{next:?}");
        assert_eq!(entries(&journal).await, ["next", "taken"]);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn a_change_that_ignores_an_error_is_not_told_to_be_made(scratch: Scratch) {
        let journal = scratch.open().await;
        kit::vandalise(&journal, "CREATE TABLE ledger (entry TEXT PRIMARY KEY)").await;
        let made = journal
            .write(|transaction| {
                Box::pin(async move {
                    transaction
                        .execute_unprepared("INSERT INTO ledger (entry) VALUES ('a')")
                        .await?;
                    let _ = transaction
                        .execute_unprepared("INSERT INTO ledger (entry) VALUES ('a')")
                        .await;
                    Ok(((), Vec::new()))
                })
            })
            .await;
        assert_eq!(made.is_ok(), entries(&journal).await == ["a"], "{made:?}");
        assert_eq!(scratch.reconnected(), 0, "the connection is well");
        journal.stop().await;
    }
);
