//! Work that breaks the rules for effects, and what happens to other effects and to publishers.

use futures_util::future::BoxFuture;
use sea_orm::{DatabaseTransaction, DbErr, TransactionTrait};

use super::*;

/// Runs the effect between two others and a publish, in one transaction where the journal allows it, and checks that
/// these succeed. Returns the end of the effect.
pub(super) async fn run_between_others(
    scratch: &Scratch,
    journal: &OpenJournal,
    given: &EffectsOf,
    misuse: Option<EffectWork>,
) -> EffectEnd {
    let earlier = kit::positions(journal, given.workspace).await.len();
    let gate = kit::hold(journal).await;
    let publish = || vec![new_event()];
    let (before, after) = (event_id(), event_id());
    let first = given.run(journal, (before, 1), enter("before"), publish());
    let bad = given.run(journal, (event_id(), 2), misuse, publish());
    let last = given.run(journal, (after, 3), enter("after"), publish());
    drop(gate);
    let (end, first, last) = (bad.await.unwrap(), first.await.unwrap(), last.await.unwrap());
    let is_committed = |end: &&EffectEnd| matches!(end, EffectEnd::Committed { .. });
    let recorded = [&end, &first, &last].into_iter().filter(is_committed).count();
    finished(journal, given, (before, 1), "before", first).await;
    finished(journal, given, (after, 3), "after", last).await;
    // No other effect is refused, and every event has its own position.
    let next = kit::append(journal, given.workspace, publish());
    next.await.unwrap().unwrap();
    let positions = kit::positions(journal, given.workspace).await;
    let count = i64::try_from(positions.len()).unwrap();
    assert_eq!(positions, (1..=count).collect::<Vec<_>>());
    let recorded = earlier + recorded + 1;
    assert_eq!(
        positions.len(),
        recorded,
        "what is told to be recorded is, and nothing else"
    );
    let told: usize = scratch.committed(journal).await.iter().map(Vec::len).sum();
    // What is found in the log of a new connection is told by the notice of the new connection alone.
    if scratch.reconnected() == 0 {
        assert_eq!(told, positions.len(), "a notice tells of each event");
    }
    end
}

/// Runs an effect again, as after another call of the handler, where it was rolled back with another one, where the
/// machine was too busy for the short time-out, or where the connection that it shared was thrown away.
pub(super) async fn finished(
    journal: &OpenJournal,
    given: &EffectsOf,
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

/// Creates a table with a deferred foreign key, which is checked only at the commit.
pub(super) async fn create_deferred_key(journal: &OpenJournal) {
    for sql in [
        "CREATE TABLE payer (id INTEGER PRIMARY KEY)",
        "CREATE TABLE promise (payer INTEGER REFERENCES payer (id) DEFERRABLE INITIALLY DEFERRED)",
    ] {
        kit::execute_directly(journal, sql).await;
    }
}

on_both_engines!(
    async fn what_the_database_refuses_at_the_commit_is_the_failure_of_its_effect(scratch: Scratch) {
        let journal = scratch.open().await;
        let given = EffectsOf::new(&scratch, &journal).await;
        create_deferred_key(&journal).await;
        let promise = || sql("INSERT INTO promise VALUES (7)");
        let mut end = run_between_others(&scratch, &journal, &given, promise()).await;
        if matches!(end, EffectEnd::Again) {
            // Each effect that violates the constraint is found individually.
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
        let given = EffectsOf::new(&scratch, &journal).await;
        let gate = kit::hold(&journal).await;
        let work = || sql("INSERT INTO ledger VALUES ('lost'); ROLLBACK");
        let end = given.end_of(&journal, (event_id(), 1), work, vec![new_event()]);
        let (end, ()) = join(end, async { drop(gate) }).await;
        assert!(
            matches!(end, EffectEnd::EndedTransaction | EffectEnd::Unavailable),
            "{end:?}"
        );
        assert!(entries(&journal).await.is_empty());
        assert!(kit::positions(&journal, given.workspace).await.is_empty());
        assert_eq!(marks(&journal).await, 0);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn an_effect_that_commits_is_done_once_or_not_at_all(scratch: Scratch) {
        let journal = scratch.open().await;
        let given = EffectsOf::new(&scratch, &journal).await;
        let work = || sql("INSERT INTO ledger VALUES ('early'); COMMIT");
        let end = given
            .end_of(&journal, (event_id(), 1), work, vec![new_event()])
            .await;
        // On SQLite the commit hook refuses the commit. On PostgreSQL the work has committed all of the effect.
        let done = match end {
            EffectEnd::Committed { .. } | EffectEnd::AlreadyDone => 1,
            EffectEnd::EndedTransaction => 0,
            end => panic!("{end:?}"),
        };
        assert_eq!(entries(&journal).await.len(), done);
        assert_eq!(marks(&journal).await, done);
        assert_eq!(kit::positions(&journal, given.workspace).await.len(), done);
        kit::append_when_it_is_back(&journal, given.workspace).await;
        assert_eq!(kit::positions(&journal, given.workspace).await.len(), done + 1);
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
        let given = EffectsOf::new(&scratch, &journal).await;
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        let blocking = EffectWork::new(move |_| {
            async move {
                // Blocks until the test ends and drops the sender.
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
        assert_eq!(kit::positions(&journal, given.workspace).await, [1]);
        drop(release);
        journal.stop().await;
    }
);

/// Work that ignores the error of this statement and continues.
fn ignoring(statement: &'static str) -> Option<EffectWork> {
    Some(EffectWork::new(move |transaction| {
        async move {
            // On PostgreSQL the ignored error has aborted the savepoint.
            let _ = transaction.execute_unprepared(statement).await;
            Ok(())
        }
        .boxed()
    }))
}

on_both_engines!(
    async fn an_effect_that_ignores_an_error_takes_nobody_along(scratch: Scratch) {
        let journal = scratch.open().await;
        let given = EffectsOf::new(&scratch, &journal).await;
        let taken = || enter("taken");
        let first = given.end_of(&journal, (event_id(), 1), taken, Vec::new()).await;
        assert!(matches!(first, EffectEnd::Committed { .. }), "{first:?}");
        let twice = ignoring("INSERT INTO ledger (entry) VALUES ('taken')");
        let end = run_between_others(&scratch, &journal, &given, twice).await;
        // It may have been rolled back with another effect, or the machine was too busy for the short time-out.
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

/// SQLite undoes only the failed statement. PostgreSQL refuses every later statement of the transaction.
fn assert_ignored(journal: &OpenJournal, end: &EffectEnd) {
    match journal.reader().get_database_backend() {
        sea_orm::DbBackend::Sqlite => assert!(matches!(end, EffectEnd::Committed { .. }), "{end:?}"),
        _ => assert!(matches!(end, EffectEnd::Refused), "{end:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_effect_whose_connection_dies_under_it_costs_the_writer_one_connection() {
    let scratch = Scratch::postgres().await;
    let journal = scratch.open().await;
    let given = EffectsOf::new(&scratch, &journal).await;
    let death = || sql("SELECT pg_terminate_backend(pg_backend_pid(), 60000)");
    let end = given.end_of(&journal, (event_id(), 1), death, Vec::new()).await;
    assert!(matches!(end, EffectEnd::Unavailable), "{end:?}");
    kit::append_when_it_is_back(&journal, given.workspace).await;
    let reconnected = scratch.reconnected();
    for seq in 4..8 {
        // From now on it has a connection to itself.
        let end = given.end_of(&journal, (event_id(), seq), death, Vec::new());
        let beside = given.run(&journal, (event_id(), 10 + seq), None, vec![new_event()]);
        let (end, beside) = join(end, beside).await;
        assert!(matches!(end, EffectEnd::Unavailable), "{end:?}");
        assert!(matches!(beside, Ok(EffectEnd::Committed { .. })), "{beside:?}");
    }
    assert_eq!(scratch.reconnected(), reconnected, "the writer goes on");
    journal.stop().await;
}

/// Takes longer than the time-out in a shared transaction. Fails at once on SQLite, which has no such function.
pub(super) const SLOW: &str = "SELECT pg_sleep(0.1)";

on_both_engines!(
    async fn a_slow_statement_that_is_cut_short_and_ignored_gets_the_time_it_needs(scratch: Scratch) {
        let journal = scratch.open().await;
        let given = EffectsOf::new(&scratch, &journal).await;
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
        let given = EffectsOf::new(&scratch, &journal).await;
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

const ENTER_A: &str = "INSERT INTO ledger (entry) VALUES ('a')";

/// Makes a change, as a host does: enters "a" into a new ledger, and does this `rest`.
pub(super) async fn change_ledger(
    journal: &OpenJournal,
    rest: impl for<'a> FnOnce(&'a DatabaseTransaction) -> BoxFuture<'a, Result<(), DbErr>> + Send + 'static,
) -> Result<(), ChangeError> {
    kit::execute_directly(journal, "CREATE TABLE ledger (entry TEXT PRIMARY KEY)").await;
    let change = journal.write(|transaction| {
        Box::pin(async move {
            transaction.execute_unprepared(ENTER_A).await?;
            rest(transaction).await?;
            Ok(((), Vec::new()))
        })
    });
    change.await
}

on_both_engines!(
    async fn a_change_that_ignores_an_error_is_not_told_to_be_made(scratch: Scratch) {
        let journal = scratch.open().await;
        let made = change_ledger(&journal, |transaction| {
            async move {
                let _ = transaction.execute_unprepared(ENTER_A).await;
                Ok(())
            }
            .boxed()
        })
        .await;
        assert_eq!(made.is_ok(), entries(&journal).await == ["a"], "{made:?}");
        assert_eq!(scratch.reconnected(), 0, "the connection is well");
        journal.stop().await;
    }
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_still_waits_for_a_lock_when_its_effect_is_ended_costs_no_connection() {
    let scratch = Scratch::postgres().await;
    let settings = JournalSettings {
        effect_timeout: SHORT,
        ..scratch.settings()
    };
    let journal = scratch.open_with(settings).await;
    let given = EffectsOf::new(&scratch, &journal).await;
    let taken = given
        .end_of(&journal, (event_id(), 1), || enter("taken"), Vec::new())
        .await;
    assert!(matches!(taken, EffectEnd::Committed { .. }), "{taken:?}");
    let client = scratch.client().await;
    let lock = client.begin().await.unwrap();
    lock.execute_unprepared("UPDATE ledger SET entry = entry")
        .await
        .unwrap();

    let gate = kit::hold(&journal).await;
    let (reply, beside) = oneshot::channel();
    // It ends no delivery, so that it and the transaction that it shares have the whole limit.
    journal.run_effect(EffectCommand {
        workspace_id: given.workspace,
        settles: None,
        work: enter("beside"),
        events: vec![new_event()],
        reply,
    });
    // The work has taken most of its time before the statement that waits: its own time-out comes after the abort.
    let change = EffectWork::new(|transaction| {
        async move {
            for statement in [
                "SELECT pg_sleep(0.02)",
                "SELECT pg_sleep(0.02)",
                "UPDATE ledger SET entry = 'changed' WHERE entry = 'taken'",
            ] {
                let done = transaction.execute_unprepared(statement).await;
                done.map_err(EffectFailure::new)?;
            }
            Ok(())
        }
        .boxed()
    });
    let change = given.run(&journal, (event_id(), 2), Some(change), Vec::new());
    drop(gate);
    let (change, beside) = (change.await.unwrap(), beside.await.unwrap());
    assert!(matches!(change, EffectEnd::Again), "{change:?}");
    assert!(matches!(beside, EffectEnd::Committed { .. }), "{beside:?}");
    assert_eq!(scratch.reconnected(), 0, "the connection is well");
    lock.rollback().await.unwrap();
    journal.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_fails_because_its_connection_is_cut_is_not_blamed() {
    let scratch = Scratch::postgres().await;
    let journal = scratch.open().await;
    let given = EffectsOf::new(&scratch, &journal).await;
    let (entered, has_entered) = oneshot::channel();
    let (release, released) = oneshot::channel::<()>();
    let work = EffectWork::new(move |transaction| {
        async move {
            entered.send(()).map_err(EffectFailure::new)?;
            released.await.map_err(EffectFailure::new)?;
            let done = transaction.execute_unprepared("SELECT 1").await;
            done.map(drop).map_err(EffectFailure::new)
        }
        .boxed()
    });
    let (reply, end) = oneshot::channel();
    journal.run_effect(EffectCommand {
        workspace_id: given.workspace,
        settles: None,
        work: Some(work),
        events: vec![new_event()],
        reply,
    });
    has_entered.await.unwrap();
    scratch.cut_writer(&journal).await;
    release.send(()).unwrap();
    let end = end.await.unwrap();
    assert!(matches!(end, EffectEnd::Unavailable), "{end:?}");
    kit::append_when_it_is_back(&journal, given.workspace).await;
    assert_eq!(kit::positions(&journal, given.workspace).await, [1]);
    journal.stop().await;
}
