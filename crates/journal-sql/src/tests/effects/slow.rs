//! Slow effects on the second connection, beside the writer.

use super::*;

/// Opens a journal in which the effects of the installation are known to be slow.
async fn open_with_slow_effects(scratch: &Scratch) -> (OpenJournal, EffectsOf) {
    let journal = scratch.open().await;
    let given = EffectsOf::new(scratch, &journal).await;
    let (work, _entered, _release) = waiting("never");
    let end = given.run(&journal, (event_id(), 1), work, Vec::new());
    assert!(matches!(end.await, Ok(EffectEnd::Again)));
    (journal, given)
}

/// Work that writes the entry, and then waits for the returned sender.
fn waiting(entry: &str) -> (Option<EffectWork>, oneshot::Receiver<()>, oneshot::Sender<()>) {
    let (entered, has_entered) = oneshot::channel();
    let (release, released) = oneshot::channel::<()>();
    let sql = format!("INSERT INTO ledger (entry) VALUES ('{entry}')");
    let work = EffectWork::new(move |transaction| {
        async move {
            let done = transaction.execute_unprepared(&sql).await;
            done.map_err(EffectFailure::new)?;
            // Fails when the test has dropped the receiver.
            let _ = entered.send(());
            let _ = released.await;
            Ok(())
        }
        .boxed()
    });
    (Some(work), has_entered, release)
}

/// The process ids of the sessions for slow effects.
async fn sessions_aside(journal: &OpenJournal) -> Vec<String> {
    let sql = "SELECT pid::TEXT AS entry FROM pg_stat_activity \
               WHERE application_name LIKE '% aside' AND datname = current_database()";
    kit::texts(journal, sql).await
}

async fn publish(journal: &OpenJournal, workspace: WorkspaceId) {
    let next = kit::append(journal, workspace, vec![new_event()]);
    next.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_goes_on_beside_a_slow_effect() {
    let scratch = Scratch::postgres().await;
    let (journal, given) = open_with_slow_effects(&scratch).await;
    let (work, entered, release) = waiting("slow");
    let (delivered, published) = (event_id(), new_event());
    let slow = given.run(&journal, (delivered, 1), work, vec![published.clone()]);
    entered.await.unwrap();

    // Publishers, effects of other installations, and lanes.
    publish(&journal, given.workspace).await;
    let other = EffectsOf::new(&scratch, &journal).await;
    let beside = other.end_of(&journal, (event_id(), 1), || enter("beside"), vec![new_event()]);
    assert!(matches!(beside.await, EffectEnd::Committed { .. }));
    given.settle(&journal, 0).await;
    publish(&journal, given.workspace).await;
    assert_eq!(entries(&journal).await, ["beside"]);

    release.send(()).unwrap();
    let end = slow.await.unwrap();
    assert!(matches!(end, EffectEnd::Committed { event_ids } if event_ids == [published.id]));
    assert_eq!(entries(&journal).await, ["beside", "slow"]);
    assert_eq!(kit::positions(&journal, given.workspace).await, [1, 2, 3]);
    assert_eq!(
        scratch.committed(&journal).await.last().unwrap()[0].id,
        published.id
    );
    let again = given.run(&journal, (delivered, 1), enter("twice"), Vec::new());
    assert!(matches!(again.await, Ok(EffectEnd::AlreadyDone)));
    publish(&journal, given.workspace).await;
    assert_eq!(kit::positions(&journal, given.workspace).await, [1, 2, 3, 4]);
    journal.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_effect_whose_connection_is_cut_leaves_nothing() {
    let scratch = Scratch::postgres().await;
    let (journal, given) = open_with_slow_effects(&scratch).await;
    let delivered = event_id();
    let (work, entered, release) = waiting("slow");
    let slow = given.run(&journal, (delivered, 1), work, vec![new_event()]);
    entered.await.unwrap();
    scratch.cut_connections(&journal).await;
    release.send(()).unwrap();
    let end = slow.await.unwrap();
    assert!(
        matches!(end, EffectEnd::Unavailable | EffectEnd::EndedTransaction),
        "{end:?}"
    );
    kit::append_when_it_is_back(&journal, given.workspace).await;
    assert!(entries(&journal).await.is_empty());
    assert_eq!(kit::positions(&journal, given.workspace).await, [1]);

    let again = given.run(&journal, (delivered, 1), enter("slow"), vec![new_event()]);
    assert!(matches!(again.await, Ok(EffectEnd::Committed { .. })));
    assert_eq!(entries(&journal).await, ["slow"]);
    assert_eq!(kit::positions(&journal, given.workspace).await, [1, 2]);
    journal.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_waits_for_a_lock_of_a_slow_effect_is_refused_and_holds_nobody_up() {
    let scratch = Scratch::postgres().await;
    let (journal, given) = open_with_slow_effects(&scratch).await;
    let (work, entered, release) = waiting("the same");
    let slow = given.run(&journal, (event_id(), 1), work, vec![new_event()]);
    entered.await.unwrap();
    let change = journal.write(|transaction| {
        let insert = "INSERT INTO ledger (entry) VALUES ('the same')";
        Box::pin(async move {
            transaction.execute_unprepared(insert).await?;
            Ok(((), Vec::new()))
        })
    });
    let refused = change.await.unwrap_err();
    assert!(refused.to_string().contains("lock timeout"), "{refused}");
    release.send(()).unwrap();
    let end = slow.await.unwrap();
    assert!(matches!(end, EffectEnd::Committed { .. }), "{end:?}");
    assert_eq!(scratch.reconnected(), 0);
    journal.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_writer_lost_meanwhile_takes_the_slow_effect_along() {
    let scratch = Scratch::postgres().await;
    let (journal, given) = open_with_slow_effects(&scratch).await;
    let (work, entered, release) = waiting("slow");
    let slow = given.run(&journal, (event_id(), 1), work, vec![new_event()]);
    entered.await.unwrap();
    scratch.cut_writer(&journal).await;
    // The writer notices that its connection is lost.
    kit::append_when_it_is_back(&journal, given.workspace).await;
    assert!(matches!(slow.await, Ok(EffectEnd::Unavailable)));
    // Fails when the slow effect has been given up.
    let _ = release.send(());
    let (work, entered, release) = waiting("next");
    let next = given.run(&journal, (event_id(), 2), work, vec![new_event()]);
    entered.await.unwrap();
    release.send(()).unwrap();
    assert!(matches!(next.await, Ok(EffectEnd::Committed { .. })));
    assert_eq!(entries(&journal).await, ["next"]);
    assert_eq!(kit::positions(&journal, given.workspace).await, [1, 2]);
    journal.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_effect_of_a_former_lane_is_fenced_at_its_end() {
    let scratch = Scratch::postgres().await;
    let (journal, given) = open_with_slow_effects(&scratch).await;
    let (work, entered, release) = waiting("slow");
    let slow = given.run(&journal, (event_id(), 1), work, vec![new_event()]);
    entered.await.unwrap();
    let session = sessions_aside(&journal).await;
    let generation = journal.attach(given.installation).await.unwrap().generation;
    release.send(()).unwrap();
    assert!(matches!(slow.await, Ok(EffectEnd::Fenced)));
    publish(&journal, given.workspace).await;
    assert!(entries(&journal).await.is_empty());
    assert_eq!(kit::positions(&journal, given.workspace).await, [1]);

    let given = EffectsOf { generation, ..given };
    let next = given.end_of(&journal, (event_id(), 2), || enter("next"), Vec::new());
    assert!(matches!(next.await, EffectEnd::Committed { .. }));
    assert_eq!(
        sessions_aside(&journal).await,
        session,
        "its connection is used further"
    );
    journal.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_effect_that_commits_is_told_so() {
    let scratch = Scratch::postgres().await;
    let (journal, given) = open_with_slow_effects(&scratch).await;
    let work = sql("INSERT INTO ledger VALUES ('early'); COMMIT");
    let end = given.run(&journal, (event_id(), 1), work, vec![new_event()]);
    assert!(matches!(end.await, Ok(EffectEnd::EndedTransaction)));
    assert_eq!(marks(&journal).await, 0);
    let next = given.run(&journal, (event_id(), 2), enter("next"), vec![new_event()]);
    assert!(matches!(next.await, Ok(EffectEnd::Committed { .. })));
    assert_eq!(kit::positions(&journal, given.workspace).await, [1]);
    journal.stop().await;
}

on_both_engines!(
    async fn the_journal_stops_without_the_slow_effects_that_wait(scratch: Scratch) {
        let (journal, given) = open_with_slow_effects(&scratch).await;
        let gate = kit::hold(&journal).await;
        let waits = given.run(&journal, (event_id(), 1), enter("a"), Vec::new());
        let stop = tokio::spawn({
            let journal = journal.clone();
            async move { journal.stop().await }
        });
        drop(gate);
        stop.await.unwrap();
        // It may have been run before the stop.
        match waits.await.unwrap() {
            EffectEnd::Committed { .. } | EffectEnd::Unavailable => {}
            end => panic!("{end:?}"),
        }
    }
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_is_not_opened_while_the_slow_effect_of_another_process_may_commit() {
    let scratch = Scratch::postgres().await;
    scratch.open().await.stop().await;
    let other = scratch.client().await;
    other
        .execute_unprepared(&format!("SELECT pg_advisory_lock({})", 0x706f_696e_7473_6d6f_i64))
        .await
        .unwrap();
    let opened = scratch.try_open(scratch.settings()).await;
    assert!(matches!(opened, Err(crate::OpenError::Claimed)));
    other.close().await.unwrap();
    scratch.open().await.stop().await;
}
