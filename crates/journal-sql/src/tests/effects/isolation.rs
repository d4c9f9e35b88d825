//! What an effect or a change cannot do to those that come after it.

use sea_orm::{DbBackend, TransactionTrait};
use tokio::time::timeout;

use super::{
    left_behind::work,
    misuse::{SLOW, finished},
    *,
};

/// Two installations whose deliveries have effects.
async fn two(scratch: &Scratch, journal: &OpenJournal) -> (EffectsOf, EffectsOf) {
    let bad = EffectsOf::new(scratch, journal).await;
    let (workspace, installation) = scratch.installed(journal, "chat").await;
    let generation = journal.attach(installation).await.unwrap().generation;
    let good = EffectsOf {
        workspace,
        installation,
        generation,
    };
    (bad, good)
}

/// Lets the database fail whenever an event with the payload `"bad"` is written, as it does where a disk is full.
async fn fail_for_bad_events(journal: &OpenJournal) {
    let statements: &[&str] = match journal.reader().get_database_backend() {
        // An overflow has SQLite's general error.
        DbBackend::Sqlite => &[
            "CREATE TRIGGER full_disk BEFORE INSERT ON platform_event WHEN NEW.payload = '\"bad\"' \
             BEGIN SELECT abs(-9223372036854775807 - 1); END",
        ],
        _ => &[
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END $$",
            "CREATE TRIGGER full_disk BEFORE INSERT ON platform_event FOR EACH ROW \
             WHEN (NEW.payload = '\"bad\"') EXECUTE FUNCTION full_disk()",
        ],
    };
    for statement in statements {
        kit::execute_directly(journal, *statement).await;
    }
}

on_both_engines!(
    async fn an_effect_whose_events_cannot_be_written_ends_and_costs_no_other_an_attempt(scratch: Scratch) {
        let journal = scratch.open().await;
        let (bad, good) = two(&scratch, &journal).await;
        fail_for_bad_events(&journal).await;
        let event = || NewEvent {
            payload: "\"bad\"".into(),
            ..new_event()
        };
        for (seq, is_behind) in [(1, false), (2, true)] {
            for has_work in [true, false] {
                let gate = kit::hold(&journal).await;
                let delivery = (event_id(), seq);
                let entry = format!("good {seq} {has_work}");
                let before = is_behind.then(|| good.run(&journal, delivery, enter(&entry), Vec::new()));
                let work = has_work.then(|| enter("bad").unwrap());
                let refused = bad.run(&journal, (event_id(), seq), work, vec![event()]);
                let beside =
                    before.unwrap_or_else(|| good.run(&journal, delivery, enter(&entry), Vec::new()));
                drop(gate);
                let end = timeout(PATIENCE, refused).await.unwrap().unwrap();
                assert!(matches!(end, EffectEnd::Unavailable), "{end:?}");
                let end = beside.await.unwrap();
                assert!(
                    matches!(end, EffectEnd::Committed { .. } | EffectEnd::Again),
                    "{end:?}"
                );
                finished(&journal, &good, delivery, &entry, end).await;
            }
        }
        kit::append_when_it_is_back(&journal, good.workspace).await;
        timeout(PATIENCE, journal.stop()).await.unwrap();
    }
);

/// Work that writes the entry in a nested transaction and leaves that open, in a task that keeps it for ever.
fn keeping_nested(entry: String, fails: bool, is_slow: bool) -> Option<EffectWork> {
    work(move |transaction| {
        async move {
            if is_slow {
                transaction.execute_unprepared(SLOW).await?;
            }
            let nested = transaction.begin().await?;
            let insert = format!("INSERT INTO ledger (entry) VALUES ('{entry}')");
            nested.execute_unprepared(&insert).await?;
            std::mem::forget(nested);
            match fails {
                true => Err(DbErr::Custom("as its author says".to_owned())),
                false => Ok(()),
            }
        }
        .boxed()
    })
}

async fn is_done_though_a_nested_transaction_stays_open(scratch: &Scratch, is_slow: bool) {
    let journal = scratch.open().await;
    let (bad, good) = two(scratch, &journal).await;
    for seq in 1..4 {
        let delivery = (event_id(), seq);
        let end = bad
            .end_of(
                &journal,
                delivery,
                || keeping_nested(format!("kept {seq}"), false, is_slow),
                vec![new_event()],
            )
            .await;
        assert!(matches!(end, EffectEnd::Committed { .. }), "{end:?}");
        kit::append(&journal, good.workspace, vec![new_event()])
            .await
            .unwrap()
            .unwrap();
        let end = bad
            .end_of(
                &journal,
                (event_id(), 10 + seq),
                || keeping_nested(format!("failed {seq}"), true, is_slow),
                Vec::new(),
            )
            .await;
        assert!(matches!(end, EffectEnd::Failed(_)), "{end:?}");
        kit::append(&journal, good.workspace, vec![new_event()])
            .await
            .unwrap()
            .unwrap();
    }
    assert_eq!(entries(&journal).await, ["kept 1", "kept 2", "kept 3"]);
    assert_eq!(kit::positions(&journal, bad.workspace).await, [1, 2, 3]);
    if journal.reader().get_database_backend() == DbBackend::Postgres {
        assert!(scratch.reconnected() <= 1, "the next ones are beside the writer");
    }
    timeout(PATIENCE, journal.stop()).await.unwrap();
}

on_both_engines!(
    async fn an_effect_that_leaves_a_nested_transaction_open_is_done_and_holds_nobody_up(scratch: Scratch) {
        is_done_though_a_nested_transaction_stays_open(&scratch, false).await;
    }
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_effect_that_leaves_a_nested_transaction_open_is_done_and_holds_nobody_up() {
    let scratch = Scratch::postgres().await;
    is_done_though_a_nested_transaction_stays_open(&scratch, true).await;
}

on_both_engines!(
    async fn a_change_that_leaves_a_nested_transaction_open_is_made_and_holds_nobody_up(scratch: Scratch) {
        let journal = scratch.open().await;
        EffectsOf::new(&scratch, &journal).await;
        for number in 1..4 {
            let made = journal.write(move |transaction| {
                Box::pin(async move {
                    let nested = transaction.begin().await?;
                    let insert = format!("INSERT INTO ledger (entry) VALUES ('{number}')");
                    nested.execute_unprepared(&insert).await?;
                    std::mem::forget(nested);
                    Ok(((), Vec::new()))
                })
            });
            timeout(PATIENCE, made).await.unwrap().unwrap();
            kit::append(&journal, scratch.workspace(), vec![new_event()])
                .await
                .unwrap()
                .unwrap();
        }
        assert_eq!(entries(&journal).await, ["1", "2", "3"]);
        timeout(PATIENCE, journal.stop()).await.unwrap();
    }
);

/// Writes what the session's settings are now.
const SETTINGS: &str = "INSERT INTO ledger (entry) SELECT concat_ws(' ', txid_current(), \
                        current_setting('lock_timeout'), current_setting('synchronous_commit'), \
                        current_setting('search_path'), current_role)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_effect_or_a_change_sets_ends_with_it() {
    let scratch = Scratch::postgres().await;
    let journal = scratch.open().await;
    let (bad, good) = two(&scratch, &journal).await;
    let settings = || sql(SETTINGS);
    let end = good.end_of(&journal, (event_id(), 1), settings, Vec::new()).await;
    assert!(matches!(end, EffectEnd::Committed { .. }), "{end:?}");
    let set = |what: &str| {
        format!(
            "SET {what} lock_timeout = '5ms'; SET {what} synchronous_commit = off; \
             SET {what} search_path = pg_catalog, public; SET {what} ROLE pg_monitor"
        )
    };
    let slowly = |statements: &str| sql(format!("{SLOW}; {statements}"));
    let mut seq = 2;
    for what in ["LOCAL", "SESSION"] {
        let statements = set(what);
        // In one transaction, in the next one, beside the writer, and after a change.
        let gate = kit::hold(&journal).await;
        let delivery = (event_id(), seq);
        let first = bad.run(&journal, (event_id(), seq), sql(statements.clone()), Vec::new());
        let next = good.run(&journal, delivery, settings(), Vec::new());
        drop(gate);
        let end = first.await.unwrap();
        assert!(matches!(end, EffectEnd::Committed { .. }), "{end:?}");
        if !matches!(next.await.unwrap(), EffectEnd::Committed { .. }) {
            let end = good.end_of(&journal, delivery, settings, Vec::new()).await;
            assert!(matches!(end, EffectEnd::Committed { .. }), "{end:?}");
        }
        let slow = bad.end_of(
            &journal,
            (event_id(), seq + 1),
            || slowly(&statements),
            Vec::new(),
        );
        assert!(matches!(slow.await, EffectEnd::Committed { .. }));
        let beside = bad.end_of(&journal, (event_id(), seq + 2), || slowly(SETTINGS), Vec::new());
        assert!(matches!(beside.await, EffectEnd::Committed { .. }));
        kit::execute_directly(&journal, statements).await;
        let end = good
            .end_of(&journal, (event_id(), seq + 1), settings, Vec::new())
            .await;
        assert!(matches!(end, EffectEnd::Committed { .. }), "{end:?}");
        seq += 3;
    }
    let entries = entries(&journal).await;
    let settings: Vec<_> = entries
        .iter()
        .map(|entry| entry.split_once(' ').unwrap().1)
        .collect();
    assert_eq!(settings.len(), 7, "{entries:?}");
    assert!(settings.iter().all(|other| *other == settings[0]), "{entries:?}");
    assert!(settings[0].starts_with("4s on "), "{entries:?}");
    assert_eq!(scratch.reconnected(), 0);
    journal.stop().await;
}

on_both_engines!(
    async fn what_an_effect_leaves_on_the_thread_costs_the_next_one_no_attempt(scratch: Scratch) {
        let settings = JournalSettings {
            effect_timeout: SHORT,
            ..scratch.settings()
        };
        let journal = scratch.open_with(settings).await;
        let (bad, good) = two(&scratch, &journal).await;
        let (release, released) = std::sync::mpsc::channel::<()>();
        let blocking = work(|_| {
            async move {
                tokio::spawn(async move { released.recv() });
                Ok(())
            }
            .boxed()
        });
        let gate = kit::hold(&journal).await;
        let delivery = (event_id(), 1);
        let left = bad.run(&journal, (event_id(), 1), blocking, Vec::new());
        let next = good.run(&journal, delivery, enter("next"), vec![new_event()]);
        drop(gate);
        let end = next.await.unwrap();
        assert!(
            matches!(end, EffectEnd::Committed { .. } | EffectEnd::Again),
            "{end:?}"
        );
        finished(&journal, &good, delivery, "next", end).await;
        assert!(matches!(left.await.unwrap(), EffectEnd::Committed { .. }));
        assert_eq!(scratch.reconnected(), 0);
        drop(release);
        journal.stop().await;
    }
);

/// Work that enters one entry after the other and comes to no end, with its thread free or blocked.
fn endless(released: std::sync::mpsc::Receiver<()>, blocks: bool) -> EffectWork {
    EffectWork::new(move |transaction| {
        async move {
            for number in 0.. {
                let insert = format!("INSERT INTO ledger (entry) VALUES ('never {number}')");
                let written = transaction.execute_unprepared(&insert).await;
                written.map_err(EffectFailure::new)?;
                if blocks {
                    let _ = released.recv();
                }
            }
            Ok(())
        }
        .boxed()
    })
}

on_both_engines!(
    async fn work_that_outlasts_its_transaction_leaves_nothing_and_holds_nobody_up(scratch: Scratch) {
        // The time limit of the whole transaction, five seconds, is shorter than that of the effect here.
        let journal = scratch.open().await;
        let (bad, good) = two(&scratch, &journal).await;
        for blocks in [true, false] {
            let (release, released) = std::sync::mpsc::channel::<()>();
            let (reply, ended) = oneshot::channel();
            journal.run_effect(EffectCommand {
                workspace_id: bad.workspace,
                settles: None,
                work: Some(endless(released, blocks)),
                events: Vec::new(),
                reply,
            });
            let end = ended.await.unwrap();
            assert!(matches!(end, EffectEnd::Unavailable), "{end:?}");
            kit::append_when_it_is_back(&journal, good.workspace).await;
            let delivery = (event_id(), 1);
            let next = || enter(&format!("next {blocks}"));
            let end = good.end_of(&journal, delivery, next, Vec::new()).await;
            assert!(matches!(end, EffectEnd::Committed { .. }), "{end:?}");
            drop(release);
        }
        assert_eq!(entries(&journal).await, ["next false", "next true"]);
        assert_eq!(scratch.reconnected(), 2);
        journal.stop().await;
    }
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_work_that_commits_and_comes_to_no_end_is_told_that_it_ended_its_transaction() {
    let scratch = Scratch::postgres().await;
    let settings = JournalSettings {
        effect_timeout: SHORT,
        ..scratch.settings()
    };
    let journal = scratch.open_with(settings).await;
    let (bad, _) = two(&scratch, &journal).await;
    let slowly = || sql(SLOW);
    let end = bad.end_of(&journal, (event_id(), 1), slowly, Vec::new()).await;
    assert!(matches!(end, EffectEnd::Committed { .. }), "{end:?}");
    for (seq, fails) in [(2, true), (3, false)] {
        let committing = move || {
            work(move |transaction| {
                async move {
                    let commit = format!("INSERT INTO ledger (entry) VALUES ('{seq}'); COMMIT");
                    transaction.execute_unprepared(&commit).await?;
                    match fails {
                        true => Err(DbErr::Custom("as its author says".to_owned())),
                        false => std::future::pending().await,
                    }
                }
                .boxed()
            })
        };
        let end = bad
            .end_of(&journal, (event_id(), seq), committing, Vec::new())
            .await;
        assert!(matches!(end, EffectEnd::EndedTransaction), "{end:?}");
    }
    journal.stop().await;
}
