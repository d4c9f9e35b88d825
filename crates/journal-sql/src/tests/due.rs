//! The rows that say when somebody has to look at a workspace.

use std::{collections::HashMap, time::Duration};

use sea_orm::{ConnectionTrait, DbBackend};

use super::{
    kit::{execute_directly, texts},
    *,
};
use crate::{InProcessExtension, register_extensions};
use pointsman_domain::{
    handler_name::HandlerName,
    installation::{DeliveryType, InstallationUpdate},
};
use pointsman_journal::{DueRow, Rested};

const MAX_HOLD: Duration = Duration::from_secs(1_000);

/// A journal with an extension that is subscribed to everything, in a workspace that rests.
struct Resting {
    journal: OpenJournal,
    workspace: WorkspaceId,
    installation: InstallationId,
}

impl Resting {
    async fn new(scratch: &Scratch) -> Self {
        let settings = JournalSettings {
            max_hold: MAX_HOLD,
            ..scratch.settings()
        };
        let journal = scratch.open_with(settings).await;
        let (workspace, installation) = scratch.installed(&journal, "crm").await;
        let resting = Self {
            journal,
            workspace,
            installation,
        };
        let subscribe = InstallationChange::Subscribe {
            subscription_id: SubscriptionId::new(Clock.new_uuid()),
            pattern: EventPattern::parse("**").unwrap(),
        };
        resting.change(subscribe).await;
        resting.rest(None).await;
        resting
    }

    async fn change(&self, change: InstallationChange) {
        let changed = self
            .journal
            .change_installation(self.workspace, self.installation, change);
        changed.await.unwrap();
    }

    async fn hold(&self, paused: bool) {
        let update = InstallationUpdate {
            paused: Some(paused),
            ..InstallationUpdate::default()
        };
        self.change(InstallationChange::Update(update)).await;
    }

    /// Writes that the workspace rests, as it is known now.
    async fn rest(&self, due_at: Option<i64>) {
        // The writer has told of everything by the time of an answer to what comes after it.
        self.journal.attach(self.installation).await.unwrap();
        let rest = Rested {
            workspace_id: self.workspace,
            due_at: due_at.map(Timestamp::from_millis),
        };
        let _ = self.journal.rest(self.journal.moment(), vec![rest]).await;
        let written: Vec<String> = due_at.iter().map(ToString::to_string).collect();
        assert_eq!(self.rows().await, written);
    }

    /// The times of all rows.
    async fn rows(&self) -> Vec<String> {
        let sql = "SELECT CAST(due_at AS TEXT) AS entry FROM workspace_due ORDER BY due_at";
        texts(&self.journal, sql).await
    }

    async fn publish(&self) {
        kit::append(&self.journal, self.workspace, vec![new_event()])
            .await
            .unwrap()
            .unwrap();
    }

    async fn settle(&self, through: i64, park_at: Option<i64>) {
        let journal = &self.journal;
        let events = journal
            .page(self.workspace, Seq::ZERO, Seq::new(through), 100)
            .await
            .unwrap();
        let generation = journal.attach(self.installation).await.unwrap().generation;
        let settled = kit::settle(
            journal,
            self.workspace,
            self.installation,
            generation,
            Seq::new(through),
            |command| {
                command.park.extend(park_at.map(|at| ParkedRetry {
                    key: DeliveryKey {
                        kind: DeliveryKind::Live,
                        event_id: events[0].id,
                        handler: HandlerName::WHOLE,
                    },
                    seq: events[0].seq,
                    attempts: 1,
                    next_attempt_at: Timestamp::from_millis(at),
                    last_error: None,
                    last_status: None,
                }));
            },
        );
        settled.await.unwrap();
    }

    /// When there is something to do in the workspace.
    async fn next_work(&self) -> Option<i64> {
        let found = self.journal.next_work(vec![self.workspace]).await.unwrap();
        found.get(&self.workspace).map(|at| at.millis())
    }
}

on_both_engines!(
    async fn whatever_makes_work_marks_the_workspace(scratch: Scratch) {
        let resting = Resting::new(&scratch).await;
        resting.publish().await;
        assert_eq!(resting.rows().await, ["0"], "an event");
        resting.rest(Some(7)).await;
        resting.settle(1, Some(9)).await;
        assert_eq!(resting.rows().await, ["0"], "a retry");
        resting.rest(Some(8)).await;
        resting.hold(true).await;
        assert_eq!(resting.rows().await, ["0"], "an admin's change");
        resting.rest(None).await;
        let letter = DeadLetterId::new(Clock.new_uuid());
        let journal = &resting.journal;
        kit::give_up(
            journal,
            resting.workspace,
            resting.installation,
            Seq::new(1),
            letter,
        )
        .await;
        assert!(resting.rows().await.is_empty(), "a letter is no work");
        journal
            .start_replay(resting.workspace, letter, None)
            .await
            .unwrap();
        assert_eq!(resting.rows().await, ["0"], "a replay");
        resting.journal.stop().await;
    }
);

on_both_engines!(
    async fn an_effect_that_publishes_marks_the_workspace(scratch: Scratch) {
        let resting = Resting::new(&scratch).await;
        let effect = |events| {
            let (reply, answer) = oneshot::channel();
            resting.journal.run_effect(EffectCommand {
                workspace_id: resting.workspace,
                settles: None,
                work: None,
                events,
                reply,
            });
            answer
        };
        effect(Vec::new()).await.unwrap();
        assert!(resting.rows().await.is_empty());
        effect(vec![new_event()]).await.unwrap();
        assert_eq!(resting.rows().await, ["0"]);
        resting.journal.stop().await;
    }
);

on_both_engines!(
    async fn the_waker_is_told_when_there_is_something_to_do(scratch: Scratch) {
        let resting = Resting::new(&scratch).await;
        assert_eq!(resting.next_work().await, None);
        resting.publish().await;
        assert_eq!(
            resting.next_work().await,
            Some(0),
            "a cursor stands before the head"
        );
        resting.settle(1, Some(90)).await;
        assert_eq!(resting.next_work().await, Some(90), "a retry");
        resting.hold(true).await;
        let held_until = resting.next_work().await.unwrap();
        let max_hold = i64::try_from(MAX_HOLD.as_millis()).unwrap();
        let now = Clock.now().millis();
        assert!((now..=now + max_hold).contains(&held_until), "{held_until}");
        execute_directly(&resting.journal, "DELETE FROM ext_delivery_retry").await;
        assert_eq!(resting.next_work().await, None, "nothing waits for its end");
        resting.publish().await;
        assert_eq!(resting.next_work().await, Some(held_until));
        resting.change(InstallationChange::Uninstall).await;
        assert_eq!(resting.next_work().await, Some(0), "it is to be closed");
        resting.journal.mark_closed(resting.installation).await.unwrap();
        assert_eq!(resting.next_work().await, None);
        resting.journal.stop().await;
    }
);

on_both_engines!(
    async fn the_next_work_of_many_workspaces_is_that_of_each(scratch: Scratch) {
        let resting = Resting::new(&scratch).await;
        resting.publish().await;
        let mut asked: Vec<WorkspaceId> = (0..300).map(|_| scratch.workspace()).collect();
        asked.insert(200, resting.workspace);
        let found = resting.journal.next_work(asked).await.unwrap();
        assert_eq!(found, HashMap::from([(resting.workspace, DueRow::AT_ONCE)]));
        resting.journal.stop().await;
    }
);

on_both_engines!(
    async fn what_is_due_is_read_in_pages_by_time(scratch: Scratch) {
        let resting = Resting::new(&scratch).await;
        let journal = &resting.journal;
        let row = |due_at, number| DueRow {
            due_at: Timestamp::from_millis(due_at),
            workspace_id: WorkspaceId::new(uuid::Uuid::from_u128(number)),
        };
        let rows = [row(0, 3), row(0, 4), row(5, 1), row(9, 2)];
        let rests = rows.iter().map(|row| Rested {
            workspace_id: row.workspace_id,
            due_at: Some(row.due_at),
        });
        let _ = journal.rest(journal.moment(), rests.collect()).await;
        let page = async |after, by, limit| {
            let by = Timestamp::from_millis(by);
            journal.due_page(after, by, limit).await.unwrap()
        };
        let start = row(-1, 0);
        assert_eq!(page(start, 5, 2).await, rows[..2]);
        assert_eq!(page(rows[1], 5, 2).await, rows[2..3]);
        assert_eq!(page(rows[2], 5, 2).await, []);
        assert_eq!(page(rows[0], i64::MAX, 9).await, rows[1..]);
        let after = |at| journal.earliest_due_after(Timestamp::from_millis(at));
        assert_eq!(after(5).await.unwrap(), Some(Timestamp::from_millis(9)));
        assert_eq!(after(9).await.unwrap(), None);
        resting.journal.stop().await;
    }
);

on_both_engines!(
    async fn what_waits_for_code_that_is_back_is_due_at_once(scratch: Scratch) {
        let resting = Resting::new(&scratch).await;
        let journal = &resting.journal;
        let new = pointsman_domain::installation::NewInstallation {
            delivery_type: DeliveryType::InProcess,
            service_base_url: None,
            ..kit::new_installation("chat")
        };
        journal.install(resting.workspace, new).await.unwrap();
        let (elsewhere, _) = scratch.installed(journal, "crm").await;
        let chat = || {
            vec![InProcessExtension {
                key: "chat".to_owned(),
                patterns: [EventPattern::parse("**").unwrap()].into(),
            }]
        };
        register_extensions(journal, chat(), Clock).await.unwrap();
        register_extensions(journal, Vec::new(), Clock).await.unwrap();
        let rest = |workspace_id| Rested {
            workspace_id,
            due_at: Some(Timestamp::from_millis(9)),
        };
        let rests = vec![rest(resting.workspace), rest(elsewhere)];
        let _ = journal.rest(journal.moment(), rests).await;
        assert_eq!(resting.rows().await, ["9", "9"]);
        register_extensions(journal, chat(), Clock).await.unwrap();
        assert_eq!(resting.rows().await, ["0", "9"]);
        resting.journal.stop().await;
    }
);

on_both_engines!(
    async fn a_clock_that_was_set_back_brings_forward_what_is_due(scratch: Scratch) {
        let resting = Resting::new(&scratch).await;
        let hour = 60 * 60 * 1000;
        let last_seen = Clock.now().millis() + hour;
        resting.rest(Some(last_seen + hour)).await;
        resting.journal.stop().await;
        let client = scratch.client().await;
        let sql = format!("UPDATE engine_clock SET last_seen_at = {last_seen}");
        client.execute_unprepared(&sql).await.unwrap();
        client.close().await.unwrap();
        let before = Clock.now().millis();
        let journal = scratch.open().await;
        let sql = "SELECT CAST(due_at AS TEXT) AS entry FROM workspace_due";
        let due_at: i64 = texts(&journal, sql).await[0].parse().unwrap();
        assert!(
            (before + hour..=Clock.now().millis() + hour).contains(&due_at),
            "{due_at}"
        );
        journal.stop().await;
    }
);

on_both_engines!(
    async fn a_refused_event_leaves_no_mark(scratch: Scratch) {
        let resting = Resting::new(&scratch).await;
        let table = match resting.journal.reader().get_database_backend() {
            DbBackend::Sqlite => {
                "CREATE TRIGGER refuse BEFORE INSERT ON platform_event BEGIN SELECT RAISE(ABORT, 'no'); END"
            }
            _ => "ALTER TABLE platform_event ADD CONSTRAINT refuse CHECK (event_key = 'never') NOT VALID",
        };
        execute_directly(&resting.journal, table).await;
        let refused = kit::append(&resting.journal, resting.workspace, vec![new_event()]);
        assert!(refused.await.unwrap().is_err());
        assert!(resting.rows().await.is_empty());
        resting.journal.stop().await;
    }
);
