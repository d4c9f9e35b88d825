//! The writes of a handler, its events and the end of its delivery are one transaction.

mod changes;
mod isolation;
mod left_behind;
mod misuse;
mod nested;
mod slow;

use std::time::Duration;

use futures_util::{FutureExt, future::join};
use sea_orm::{ConnectionTrait, DbErr};

use super::*;
use pointsman_domain::{handler_name::HandlerName, id::EventId};

/// The time limit of effects in tests of that limit.
const SHORT: Duration = Duration::from_millis(250);
/// So long that no test depends on the speed of its machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A journal's installation, whose deliveries have effects.
struct EffectsOf {
    workspace: WorkspaceId,
    installation: InstallationId,
    generation: i64,
}

impl EffectsOf {
    async fn new(scratch: &Scratch, journal: &OpenJournal) -> Self {
        kit::execute_directly(
            journal,
            "CREATE TABLE IF NOT EXISTS ledger (entry TEXT PRIMARY KEY)",
        )
        .await;
        let (workspace, installation) = scratch.installed(journal, "crm").await;
        let generation = journal.attach(installation).await.unwrap().generation;
        Self {
            workspace,
            installation,
            generation,
        }
    }

    fn key(event_id: EventId) -> DeliveryKey {
        DeliveryKey {
            kind: DeliveryKind::Live,
            event_id,
            handler: HandlerName::intern("enter"),
        }
    }

    fn run(
        &self,
        journal: &OpenJournal,
        (event, seq): (EventId, i64),
        work: Option<EffectWork>,
        events: Vec<NewEvent>,
    ) -> oneshot::Receiver<EffectEnd> {
        let (reply, answer) = oneshot::channel();
        journal.run_effect(EffectCommand {
            workspace_id: self.workspace,
            settles: Some(EffectOf {
                installation_id: self.installation,
                generation: self.generation,
                key: Self::key(event),
                seq: Seq::new(seq),
                dead_letter_id: None,
            }),
            work,
            events,
            reply,
        });
        answer
    }

    /// The final end of the effect: it is run again, as by a lane, where it ends as [`EffectEnd::Again`]. On a busy
    /// machine any effect may take too long for a shared transaction.
    async fn end_of(
        &self,
        journal: &OpenJournal,
        delivery: (EventId, i64),
        work: impl Fn() -> Option<EffectWork>,
        events: Vec<NewEvent>,
    ) -> EffectEnd {
        let ended = async {
            loop {
                match self.run(journal, delivery, work(), events.clone()).await.unwrap() {
                    EffectEnd::Again => {}
                    end => return end,
                }
            }
        };
        tokio::time::timeout(PATIENCE, ended).await.unwrap()
    }

    async fn settle(&self, journal: &OpenJournal, settled: i64) {
        let settled = Seq::new(settled);
        let (workspace, installation) = (self.workspace, self.installation);
        kit::settle(journal, workspace, installation, self.generation, settled, |_| {})
            .await
            .unwrap();
    }
}

/// Work that executes the statements.
fn sql(statements: impl Into<String>) -> Option<EffectWork> {
    let statements = statements.into();
    Some(EffectWork::new(move |transaction| {
        async move {
            let done = transaction.execute_unprepared(&statements).await;
            done.map(drop)
                .map_err(|error| EffectFailure::new(error.to_string()))
        }
        .boxed()
    }))
}

fn enter(entry: &str) -> Option<EffectWork> {
    sql(format!("INSERT INTO ledger (entry) VALUES ('{entry}')"))
}

/// Work that does not end by itself.
fn slowly(journal: &OpenJournal, entry: &str) -> Option<EffectWork> {
    sql(match journal.reader().get_database_backend() {
        sea_orm::DbBackend::Sqlite => format!(
            "INSERT INTO ledger (entry) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
             SELECT '{entry}' || max(i) FROM n"
        ),
        _ => format!("INSERT INTO ledger (entry) SELECT '{entry}' FROM pg_sleep(1000000)"),
    })
}

fn failing() -> Option<EffectWork> {
    Some(EffectWork::new(|transaction| {
        async move {
            transaction
                .execute_unprepared("INSERT INTO ledger (entry) VALUES ('never')")
                .await
                .map_err(EffectFailure::new)?;
            Err(EffectFailure::new("the author says no"))
        }
        .boxed()
    }))
}

fn panicking() -> Option<EffectWork> {
    Some(EffectWork::new(|_| {
        async { std::panic::resume_unwind(Box::new("silently")) }.boxed()
    }))
}

async fn entries(journal: &OpenJournal) -> Vec<String> {
    let sql = "SELECT entry FROM ledger ORDER BY entry";
    kit::texts(journal, sql).await
}

async fn marks(journal: &OpenJournal) -> usize {
    let sql = "SELECT handler AS entry FROM ext_delivery_done";
    kit::texts(journal, sql).await.len()
}

fn event_id() -> EventId {
    EventId::new(Clock.new_uuid())
}

on_both_engines!(
    async fn an_effect_is_durable_with_its_events_and_the_end_of_its_delivery(scratch: Scratch) {
        let journal = scratch.open().await;
        let given = EffectsOf::new(&scratch, &journal).await;
        kit::append(&journal, given.workspace, vec![new_event()])
            .await
            .unwrap()
            .unwrap();
        let (delivered, published) = (event_id(), new_event());
        let events = vec![published.clone()];
        let end = given
            .end_of(&journal, (delivered, 1), || enter("a"), events)
            .await;
        assert!(matches!(end, EffectEnd::Committed { event_ids } if event_ids == [published.id]));
        assert_eq!(entries(&journal).await, ["a"]);
        assert_eq!(kit::positions(&journal, given.workspace).await, [1, 2]);
        assert_eq!(
            scratch.committed(&journal).await.last().unwrap()[0].id,
            published.id
        );
        let again = given.end_of(&journal, (delivered, 1), || enter("b"), vec![new_event()]);
        assert!(matches!(again.await, EffectEnd::AlreadyDone));
        assert_eq!(entries(&journal).await, ["a"]);
        let attached = journal.attach(given.installation).await.unwrap();
        let handled = (Seq::new(1), HandlerName::intern("enter"));
        assert!(
            attached.attachment.handled.contains(&handled),
            "a successor leaves it"
        );
        journal.stop().await;
    }
);

on_both_engines!(
    async fn an_effect_that_fails_leaves_nothing_and_no_gap(scratch: Scratch) {
        let journal = scratch.open().await;
        let given = EffectsOf::new(&scratch, &journal).await;
        let gate = kit::hold(&journal).await;
        let run = |seq, work: fn() -> Option<EffectWork>| {
            given.end_of(&journal, (event_id(), seq), work, vec![new_event()])
        };
        let ends = futures_util::future::join5(
            run(1, || enter("a")),
            run(2, failing),
            run(3, panicking),
            run(4, || sql("INSERT INTO nowhere VALUES (1)")),
            run(5, || enter("b")),
        );
        let ((first, fails, panics, breaks, last), ()) = join(ends, async { drop(gate) }).await;
        assert!(matches!(first, EffectEnd::Committed { .. }), "{first:?}");
        let EffectEnd::Failed(failure) = fails else {
            panic!("its author says so: {fails:?}")
        };
        assert_eq!(failure.downcast::<&str>(), Some("the author says no"));
        assert!(matches!(panics, EffectEnd::Panicked), "{panics:?}");
        assert!(matches!(breaks, EffectEnd::Failed(_)), "{breaks:?}");
        assert!(matches!(last, EffectEnd::Committed { .. }), "{last:?}");
        assert_eq!(entries(&journal).await, ["a", "b"]);
        assert_eq!(kit::positions(&journal, given.workspace).await, [1, 2]);
        assert_eq!(marks(&journal).await, 2);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn an_effect_that_is_slow_is_cut_and_publishers_go_on(scratch: Scratch) {
        let settings = JournalSettings {
            effect_timeout: SHORT,
            ..scratch.settings()
        };
        let journal = scratch.open_with(settings).await;
        let given = EffectsOf::new(&scratch, &journal).await;
        let slow = given.run(
            &journal,
            (event_id(), 1),
            slowly(&journal, "slow"),
            vec![new_event()],
        );
        let beside = given.run(&journal, (event_id(), 2), enter("beside"), Vec::new());
        kit::append(&journal, given.workspace, vec![new_event()])
            .await
            .unwrap()
            .unwrap();
        // It exceeds the short limit in a shared transaction, and gets the whole limit when it is run alone.
        assert!(matches!(slow.await, Ok(EffectEnd::Again)));
        let slow = || slowly(&journal, "slow");
        let slow = given.end_of(&journal, (event_id(), 1), slow, vec![new_event()]);
        assert!(matches!(slow.await, EffectEnd::TimedOut));
        // It was either run after the slow one or rolled back with it.
        misuse::finished(&journal, &given, (event_id(), 2), "beside", beside.await.unwrap()).await;
        assert_eq!(entries(&journal).await, ["beside"]);
        assert!(journal.storage_state().is_ok(), "the connection is well");
        journal.stop().await;
    }
);

on_both_engines!(
    async fn what_a_slow_effect_takes_along_is_run_again(scratch: Scratch) {
        let journal = scratch.open().await;
        let given = EffectsOf::new(&scratch, &journal).await;
        let gate = kit::hold(&journal).await;
        let first = given.run(&journal, (event_id(), 1), enter("a"), vec![new_event()]);
        let slow = given.run(&journal, (event_id(), 2), slowly(&journal, "slow"), Vec::new());
        drop(gate);
        assert!(matches!(slow.await, Ok(EffectEnd::Again)));
        // SQLite rolls the whole transaction back when it interrupts a write; PostgreSQL does not.
        let taken_along = match first.await.unwrap() {
            EffectEnd::Committed { .. } => false,
            EffectEnd::Again => true,
            end => panic!("{end:?}"),
        };
        assert_eq!(entries(&journal).await.is_empty(), taken_along);
        let next = kit::append(&journal, given.workspace, vec![new_event()]);
        next.await.unwrap().unwrap();
        let positions = kit::positions(&journal, given.workspace).await;
        assert_eq!(
            positions.len(),
            if taken_along { 1 } else { 2 },
            "no position is left out"
        );
        assert_eq!(
            positions.last().copied(),
            Some(i64::try_from(positions.len()).unwrap())
        );
        journal.stop().await;
    }
);

on_both_engines!(
    async fn once_the_marks_of_an_installation_are_gone_nobody_looks_for_them(scratch: Scratch) {
        let journal = scratch.open().await;
        let given = EffectsOf::new(&scratch, &journal).await;
        for seq in 1..=2 {
            let end = given
                .end_of(&journal, (event_id(), seq), || None, Vec::new())
                .await;
            assert!(matches!(end, EffectEnd::Committed { .. }), "{end:?}");
        }
        given.settle(&journal, 1).await;
        assert_eq!(marks(&journal).await, 1);
        given.settle(&journal, 2).await;
        assert_eq!(marks(&journal).await, 0);
        // A look-up would fail on the missing table, and count as a lost connection.
        kit::execute_directly(&journal, "ALTER TABLE ext_delivery_done RENAME TO elsewhere").await;
        tokio::time::timeout(PATIENCE, given.settle(&journal, 3))
            .await
            .unwrap();
        assert_eq!(scratch.reconnected(), 0);
        kit::execute_directly(&journal, "ALTER TABLE elsewhere RENAME TO ext_delivery_done").await;
        journal.stop().await;
    }
);

on_both_engines!(
    async fn an_effect_of_a_former_lane_is_fenced(scratch: Scratch) {
        let journal = scratch.open().await;
        let given = EffectsOf::new(&scratch, &journal).await;
        journal.attach(given.installation).await.unwrap();
        let end = given
            .run(&journal, (event_id(), 1), enter("a"), vec![new_event()])
            .await;
        assert!(matches!(end, Ok(EffectEnd::Fenced)));
        assert!(entries(&journal).await.is_empty());
        journal.stop().await;
    }
);

on_both_engines!(
    async fn marks_are_forgotten_once_the_cursor_has_passed_them(scratch: Scratch) {
        let journal = scratch.open().await;
        let given = EffectsOf::new(&scratch, &journal).await;
        for seq in 1..=3 {
            kit::append(&journal, given.workspace, vec![new_event()])
                .await
                .unwrap()
                .unwrap();
            let work = || enter(&seq.to_string());
            let end = given.end_of(&journal, (event_id(), seq), work, Vec::new());
            assert!(matches!(end.await, EffectEnd::Committed { .. }));
        }
        assert_eq!(marks(&journal).await, 3);
        given.settle(&journal, 2).await;
        assert_eq!(marks(&journal).await, 1);
        journal.stop().await;

        let journal = scratch.open().await;
        let generation = journal.attach(given.installation).await.unwrap().generation;
        EffectsOf { generation, ..given }.settle(&journal, 3).await;
        assert_eq!(marks(&journal).await, 0, "also after a restart");
        journal.stop().await;
    }
);

on_both_engines!(
    async fn work_may_be_done_with_events_and_no_delivery(scratch: Scratch) {
        let journal = scratch.open().await;
        let given = EffectsOf::new(&scratch, &journal).await;
        let (reply, answer) = oneshot::channel();
        journal.run_effect(EffectCommand {
            workspace_id: given.workspace,
            settles: None,
            work: enter("a"),
            events: vec![new_event()],
            reply,
        });
        assert!(matches!(answer.await, Ok(EffectEnd::Committed { .. })));
        assert_eq!(entries(&journal).await, ["a"]);
        assert_eq!(kit::positions(&journal, given.workspace).await, [1]);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn an_effect_does_not_see_that_the_connection_was_cut_before_it(scratch: Scratch) {
        let journal = scratch.open().await;
        let given = EffectsOf::new(&scratch, &journal).await;
        for (seq, entry) in [(1, "a"), (2, "b")] {
            scratch.cut_connections(&journal).await;
            let end = given.end_of(&journal, (event_id(), seq), || enter(entry), vec![new_event()]);
            let end = end.await;
            assert!(matches!(end, EffectEnd::Committed { .. }), "{end:?}");
        }
        assert_eq!(entries(&journal).await, ["a", "b"]);
        assert_eq!(kit::positions(&journal, given.workspace).await, [1, 2]);
        assert_eq!(marks(&journal).await, 2);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn effects_in_doubt_are_found_by_their_marks(scratch: Scratch) {
        let journal = scratch.open().await;
        let given = EffectsOf::new(&scratch, &journal).await;
        let of = |key| EffectOf {
            installation_id: given.installation,
            generation: given.generation,
            key,
            seq: Seq::new(1),
            dead_letter_id: None,
        };
        let (done, mut asked) = (event_id(), Vec::new());
        let end = given.end_of(&journal, (done, 1), || enter("a"), Vec::new());
        assert!(matches!(end.await, EffectEnd::Committed { .. }));
        // More than one statement asks for, and some that differ from the mark in one part of their key.
        asked.extend((0..299).map(|_| of(EffectsOf::key(event_id()))));
        asked.push(of(EffectsOf::key(done)));
        asked.push(of(DeliveryKey {
            kind: DeliveryKind::Replay,
            ..EffectsOf::key(done)
        }));
        asked.push(of(DeliveryKey {
            handler: HandlerName::intern("other"),
            ..EffectsOf::key(done)
        }));
        let client = scratch.client().await;
        let found = crate::effects::are_done(&client, &asked).await.unwrap();
        let expected: Vec<bool> = (0..302).map(|index| index == 299).collect();
        assert_eq!(found, expected);
        journal.stop().await;
    }
);
