//! What is older than its retention is deleted, and nothing that somebody still needs.

use std::time::Duration;

use sea_orm::ConnectionTrait;

use super::{
    migrations::{self, execute},
    *,
};
use crate::{HeldBy, RetentionPass, RetentionSettings};
use pointsman_domain::{
    event::{Cause, derived_id},
    event_key::EventKey,
    event_pattern::EventPattern,
    id::{DeadLetterId, EventId, SubscriptionId},
    installation::{InstallationChange, InstallationUpdate},
};

const DAY: i64 = 24 * 60 * 60 * 1000;

/// Everything is old at once.
const SHORTEST: RetentionSettings = RetentionSettings {
    events: Duration::from_millis(1),
    attempts: Duration::from_millis(1),
    dead_letters: Duration::from_millis(1),
    chat_messages: Duration::from_millis(1),
    max_bytes: None,
};

impl Scratch {
    /// Opens the journal with this retention, and lets a pass end.
    async fn pruned(&self, retention: RetentionSettings) -> (OpenJournal, RetentionPass) {
        let journal = self
            .open_with(JournalSettings {
                retention,
                ..self.settings()
            })
            .await;
        let pass = journal.first_pass().await;
        (journal, pass)
    }
}

fn event_of(key: &str, age: i64) -> NewEvent {
    NewEvent {
        event_key: EventKey::parse(key).unwrap(),
        occurred_at: Timestamp::from_millis(Clock.now().millis() - age),
        ..new_event()
    }
}

async fn publish(journal: &Journal, workspace: WorkspaceId, key: &str, count: usize) {
    let events = (0..count).map(|_| event_of(key, 1000)).collect();
    kit::append(journal, workspace, events).await.unwrap().unwrap();
}

/// An installation that is subscribed to `pattern` from the head of the log on.
async fn subscribed(journal: &Journal, workspace: WorkspaceId, key: &str, pattern: &str) -> InstallationId {
    let installation = kit::new_installation(key);
    let id = installation.id;
    let installation = pointsman_domain::installation::NewInstallation {
        subscriptions: vec![(
            SubscriptionId::new(Clock.new_uuid()),
            EventPattern::parse(pattern).unwrap(),
        )],
        ..installation
    };
    journal.install(workspace, installation).await.unwrap();
    id
}

async fn settle_through(journal: &Journal, workspace: WorkspaceId, installation: InstallationId, seq: i64) {
    let generation = journal.attach(installation).await.unwrap().generation;
    kit::settle(
        journal,
        workspace,
        installation,
        generation,
        Seq::new(seq),
        |_| (),
    )
    .await
    .unwrap();
}

on_both_engines!(
    async fn old_events_go_and_the_log_goes_on_where_it_was(scratch: Scratch) {
        let journal = scratch.open().await;
        let (quiet, busy) = (scratch.workspace(), scratch.workspace());
        publish(&journal, quiet, "a.b", 3).await;
        kit::append(
            &journal,
            busy,
            vec![event_of("a.b", 40 * DAY), event_of("a.b", 0)],
        )
        .await
        .unwrap()
        .unwrap();
        journal.stop().await;

        let week = RetentionSettings {
            events: Duration::from_secs(7 * 24 * 60 * 60),
            ..RetentionSettings::default()
        };
        let (journal, pass) = scratch.pruned(week).await;
        assert_eq!(pass.deleted.events, 1);
        assert_eq!(kit::positions(&journal, busy).await, [2]);
        assert_eq!(kit::positions(&journal, quiet).await, [1, 2, 3]);
        journal.stop().await;

        let (journal, pass) = scratch.pruned(SHORTEST).await;
        assert_eq!(pass.deleted.events, 4);
        for (workspace, head) in [(quiet, 3), (busy, 2)] {
            assert_eq!(kit::positions(&journal, workspace).await, [0; 0]);
            assert_eq!(journal.load(workspace).await.unwrap().0, Seq::new(head));
            publish(&journal, workspace, "a.b", 1).await;
            assert_eq!(kit::positions(&journal, workspace).await, [head + 1]);
        }
        journal.stop().await;
    }
);

on_both_engines!(
    async fn an_event_stays_until_everybody_to_whom_it_is_due_has_got_it(scratch: Scratch) {
        let journal = scratch.open().await;
        let workspace = scratch.workspace();
        let crm = subscribed(&journal, workspace, "crm", "crm.*").await;
        let chat = subscribed(&journal, workspace, "chat", "chat.*").await;
        for key in ["crm.a", "chat.a", "crm.b", "chat.b", "chat.c"] {
            publish(&journal, workspace, key, 1).await;
        }
        settle_through(&journal, workspace, chat, 5).await;
        settle_through(&journal, workspace, crm, 1).await;
        journal.stop().await;

        let (journal, pass) = scratch.pruned(SHORTEST).await;
        assert_eq!(kit::positions(&journal, workspace).await, [3, 4, 5]);
        let held = pass.held.first[0];
        assert_eq!(
            (held.workspace, held.installation, held.why, pass.held.workspaces),
            (workspace, crm, HeldBy::Undelivered, 1)
        );
        settle_through(&journal, workspace, crm, 3).await;
        journal.stop().await;

        // Its cursor stands at 3, and nothing that came since was due to it.
        let (journal, pass) = scratch.pruned(SHORTEST).await;
        assert_eq!((pass.deleted.events, pass.held.workspaces), (3, 0));
        assert_eq!(kit::positions(&journal, workspace).await, [0; 0]);
        let attached = journal.attach(crm).await.unwrap().attachment;
        assert_eq!((attached.settled, attached.head), (Seq::new(3), Seq::new(5)));
        journal.stop().await;
    }
);

on_both_engines!(
    async fn an_event_stays_while_its_delivery_is_parked_and_a_letter_while_it_is_replayed(scratch: Scratch) {
        let journal = scratch.open().await;
        let workspace = scratch.workspace();
        let crm = subscribed(&journal, workspace, "crm", "crm.*").await;
        publish(&journal, workspace, "crm.a", 4).await;
        let events = journal.page(workspace, Seq::ZERO, Seq::new(4), 4).await.unwrap();
        let (dead, replayed) = (
            DeadLetterId::new(Clock.new_uuid()),
            DeadLetterId::new(Clock.new_uuid()),
        );
        kit::give_up(&journal, workspace, crm, Seq::new(1), dead).await;
        kit::give_up(&journal, workspace, crm, Seq::new(2), replayed).await;
        let generation = journal.attach(crm).await.unwrap().generation;
        let parked = &events[2];
        kit::settle(&journal, workspace, crm, generation, Seq::new(4), |command| {
            command.park.push(ParkedRetry {
                key: DeliveryKey {
                    kind: DeliveryKind::Live,
                    event_id: parked.id,
                    handler: pointsman_domain::handler_name::HandlerName::WHOLE,
                },
                seq: parked.seq,
                attempts: 1,
                next_attempt_at: Clock.now(),
                last_error: None,
                last_status: None,
            });
        })
        .await
        .unwrap();
        journal.start_replay(workspace, replayed, None).await.unwrap();
        journal.stop().await;

        let (journal, pass) = scratch.pruned(SHORTEST).await;
        assert_eq!(kit::positions(&journal, workspace).await, [3, 4]);
        assert_eq!(pass.held.first[0].why, HeldBy::Retry);
        let letters = kit::texts(&journal, "SELECT status AS entry FROM dead_letter_event").await;
        assert_eq!(
            (letters, pass.deleted.dead_letters),
            (vec!["REPLAYING".to_owned()], 1)
        );
        let far = Timestamp::from_millis(i64::MAX);
        let (due, _) = journal.due_retries(workspace, crm, far, 9).await.unwrap();
        assert_eq!(due.len(), 2);
        assert!(due.iter().all(|row| row.event.defect.is_none()), "{due:?}");
        journal.stop().await;
    }
);

on_both_engines!(
    async fn what_a_handler_has_published_stays_single_after_it_is_pruned(scratch: Scratch) {
        let journal = scratch.open().await;
        let workspace = scratch.workspace();
        let source = EventId::new(Clock.new_uuid());
        let event = NewEvent {
            id: derived_id(source, InstallationId::new(Clock.new_uuid()), "deal_closed", 0),
            cause: Some(Cause {
                causation_id: source,
                correlation_id: source,
                depth: 1,
            }),
            ..event_of("crm.a", 1000)
        };
        let send = async |journal: &OpenJournal| {
            let answer = kit::append_derived(journal, workspace, vec![event.clone()]);
            answer.await.unwrap().unwrap().replayed
        };
        assert!(!send(&journal).await);
        journal.stop().await;

        let keep_letters = RetentionSettings {
            dead_letters: Duration::from_secs(24 * 60 * 60),
            ..SHORTEST
        };
        let (journal, pass) = scratch.pruned(keep_letters).await;
        assert_eq!((pass.deleted.events, pass.deleted.derived_ids), (1, 0));
        assert!(send(&journal).await, "it is known");
        assert_eq!(kit::positions(&journal, workspace).await, [0; 0]);
        journal.stop().await;

        let (journal, pass) = scratch.pruned(SHORTEST).await;
        assert_eq!(pass.deleted.derived_ids, 1);
        assert!(
            !send(&journal).await,
            "no letter is left by which the handler could run again"
        );
        journal.stop().await;
    }
);

/// Stores that the engine ran last so many milliseconds ago.
async fn ran_last(scratch: &Scratch, age: i64) {
    let client = scratch.client().await;
    let at = Clock.now().millis() - age;
    let sql = format!("UPDATE engine_clock SET last_seen_at = {at}");
    client.execute_unprepared(&sql).await.unwrap();
    client.close().await.unwrap();
}

on_both_engines!(
    async fn a_clock_that_is_far_ahead_deletes_nothing_for_a_day(scratch: Scratch) {
        let journal = scratch.open().await;
        let workspace = scratch.workspace();
        publish(&journal, workspace, "a.b", 2).await;
        journal.stop().await;
        ran_last(&scratch, 40 * DAY).await;
        for _ in 0..2 {
            let journal = scratch
                .open_with(JournalSettings {
                    retention: SHORTEST,
                    ..scratch.settings()
                })
                .await;
            let from = journal.prunes_from();
            assert!(
                from.since(Clock.now()) > Duration::from_secs(23 * 60 * 60),
                "{from:?}"
            );
            assert_eq!(kit::positions(&journal, workspace).await, [1, 2]);
            journal.stop().await;
        }
    }
);

on_both_engines!(
    async fn a_database_of_a_version_that_kept_everything_waits_for_a_day(scratch: Scratch) {
        let connection = migrations::database(&scratch, 9).await;
        let workspace = Clock.new_uuid();
        let event = "INSERT INTO platform_event (workspace_id, seq, id, event_key, payload, occurred_at) \
                     VALUES ({1}, 1, {2}, 'a.b', '{}', 0)";
        execute(&connection, event, &[workspace, Clock.new_uuid()]).await;
        let clock = format!(
            "INSERT INTO engine_clock (id, last_seen_at) VALUES (1, {})",
            Clock.now().millis()
        );
        execute(&connection, &clock, &[]).await;
        connection.close().await.unwrap();
        let journal = scratch.open().await;
        let from = journal.prunes_from();
        assert!(
            from.since(Clock.now()) > Duration::from_secs(23 * 60 * 60),
            "{from:?}"
        );
        assert_eq!(kit::positions(&journal, WorkspaceId::new(workspace)).await, [1]);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn attempts_go_by_their_own_age_and_what_is_young_stays(scratch: Scratch) {
        let journal = scratch.open().await;
        let now = Clock.now().millis();
        let old_event = uuid::Uuid::from_u128(u128::try_from(now - 40 * DAY).unwrap() << 80 | 7);
        let (workspace, crm) = (Clock.new_uuid(), Clock.new_uuid());
        let client = scratch.client().await;
        for (event, at) in [
            (old_event, now - 40 * DAY),
            (old_event, now - DAY),
            (Clock.new_uuid(), now),
        ] {
            let sql = format!(
                "INSERT INTO ext_delivery_attempt (id, workspace_id, installation_id, event_id, handler, kind, number, \
                 outcome, duration_ms, attempted_at) \
                 VALUES ({{1}}, {{2}}, {{3}}, {{4}}, '', 'LIVE', 1, 'TIMEOUT', 1, {at})"
            );
            execute(&client, &sql, &[Clock.new_uuid(), workspace, crm, event]).await;
        }
        client.close().await.unwrap();
        journal.stop().await;
        let (journal, pass) = scratch.pruned(RetentionSettings::default()).await;
        assert_eq!(pass.deleted.attempts, 1);
        let left =
            "SELECT CAST(attempted_at AS TEXT) AS entry FROM ext_delivery_attempt ORDER BY attempted_at";
        let expected = [(now - DAY).to_string(), now.to_string()];
        assert_eq!(kit::texts(&journal, left).await, expected);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn an_extension_that_is_gone_goes_with_its_last_event_and_letter(scratch: Scratch) {
        let journal = scratch.open().await;
        let workspace = scratch.workspace();
        let (gone, failed, stays) = (
            subscribed(&journal, workspace, "gone", "a.*").await,
            subscribed(&journal, workspace, "failed", "a.*").await,
            subscribed(&journal, workspace, "stays", "a.*").await,
        );
        publish(&journal, workspace, "a.b", 1).await;
        let letter = DeadLetterId::new(Clock.new_uuid());
        kit::give_up(&journal, workspace, failed, Seq::new(1), letter).await;
        for id in [gone, failed] {
            settle_through(&journal, workspace, id, 1).await;
            journal
                .change_installation(workspace, id, InstallationChange::Uninstall)
                .await
                .unwrap();
            journal.mark_closed(id).await.unwrap();
        }
        journal.stop().await;
        let rows = "SELECT i.key AS entry FROM ext_installation i JOIN ext_delivery_cursor c \
                    ON c.installation_id = i.id JOIN ext_event_subscription s ON s.installation_id = i.id \
                    ORDER BY i.key";

        let (journal, pass) = scratch.pruned(SHORTEST).await;
        assert_eq!(pass.deleted.installations, 0, "its event is needed by another");
        assert_eq!(kit::texts(&journal, rows).await, ["failed", "gone", "stays"]);
        settle_through(&journal, workspace, stays, 1).await;
        journal.stop().await;

        let (journal, pass) = scratch.pruned(SHORTEST).await;
        assert_eq!(
            (pass.deleted.events, pass.deleted.installations),
            (1, 2),
            "{pass:?}"
        );
        assert_eq!(kit::texts(&journal, rows).await, ["stays"]);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn a_span_stays_while_it_decides_for_an_event_that_is_left(scratch: Scratch) {
        let journal = scratch.open().await;
        let workspace = scratch.workspace();
        let crm = subscribed(&journal, workspace, "crm", "a.*").await;
        let enable = async |enabled: bool| {
            let update = InstallationUpdate {
                enabled: Some(enabled),
                ..InstallationUpdate::default()
            };
            journal
                .change_installation(workspace, crm, InstallationChange::Update(update))
                .await
                .unwrap();
            publish(&journal, workspace, "a.b", 1).await;
        };
        publish(&journal, workspace, "a.b", 1).await;
        for enabled in [false, true, false, true, false] {
            enable(enabled).await;
        }
        settle_through(&journal, workspace, crm, 6).await;
        let spans = "SELECT CAST(from_seq AS TEXT) || '-' || COALESCE(CAST(until_seq AS TEXT), '') AS entry \
                     FROM ext_event_subscription ORDER BY from_seq";
        assert_eq!(kit::texts(&journal, spans).await, ["0-1", "2-3", "4-5"]);
        // The last two events are young.
        let young = Clock.now().millis() + DAY;
        let sql = format!("UPDATE platform_event SET occurred_at = {young} WHERE seq >= 4");
        kit::execute_directly(&journal, sql).await;
        journal.stop().await;

        let (journal, pass) = scratch.pruned(SHORTEST).await;
        assert_eq!(kit::positions(&journal, workspace).await, [4, 5, 6]);
        // The span 2-3 says of event 4 that the extension was disabled.
        assert_eq!(kit::texts(&journal, spans).await, ["2-3", "4-5"]);
        assert_eq!(pass.deleted.spans, 1);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn more_attempts_and_letters_than_are_read_at_a_time_go_in_one_pass(scratch: Scratch) {
        let journal = scratch.open().await;
        let (workspace, installation) = scratch.installed(&journal, "crm").await;
        journal.stop().await;
        let client = scratch.client().await;
        for number in 0..350 {
            let ids = [
                Clock.new_uuid(),
                workspace.uuid(),
                installation.uuid(),
                Clock.new_uuid(),
            ];
            let attempt = format!(
                "INSERT INTO ext_delivery_attempt (id, workspace_id, installation_id, event_id, kind, number, outcome, \
                 duration_ms, attempted_at) VALUES ({{1}}, {{2}}, {{3}}, {{4}}, 'LIVE', 1, 'TIMEOUT', 3, {number})"
            );
            execute(&client, &attempt, &ids).await;
            let letter = format!(
                "INSERT INTO dead_letter_event (id, workspace_id, installation_id, extension_key, event_id, seq, \
                 event_key, payload, occurred_at, reason, attempts, failed_at, status) VALUES ({{1}}, {{2}}, {{3}}, \
                 'crm', {{4}}, {number}, 'a.b', '{{}}', 0, 'GONE', 1, {number}, 'DEAD')"
            );
            execute(&client, &letter, &ids).await;
        }
        client.close().await.unwrap();
        let (journal, pass) = scratch.pruned(SHORTEST).await;
        assert_eq!((pass.deleted.attempts, pass.deleted.dead_letters), (350, 350));
        journal.stop().await;
    }
);

#[tokio::test]
async fn a_database_that_is_too_large_loses_its_oldest_events_before_their_time() {
    let scratch = Scratch::sqlite();
    let journal = scratch.open().await;
    let (old, young) = (scratch.workspace(), scratch.workspace());
    for workspace in [old, young] {
        for _ in 0..8 {
            let events = (0..250).map(|_| NewEvent {
                payload: format!("\"{}\"", "x".repeat(1000)).into(),
                ..event_of("a.b", 1000)
            });
            kit::append(&journal, workspace, events.collect())
                .await
                .unwrap()
                .unwrap();
        }
    }
    let used = crate::size::used_bytes(journal.reader()).await.unwrap();
    journal.stop().await;
    let bounded = RetentionSettings {
        max_bytes: Some(used / 4 * 3),
        ..RetentionSettings::default()
    };
    let (journal, pass) = scratch.pruned(bounded).await;
    assert_eq!(pass.excess_bytes, 0);
    assert!(crate::size::used_bytes(journal.reader()).await.unwrap() <= used / 4 * 3);
    assert!(kit::positions(&journal, old).await.len() < 2000);
    assert_eq!(kit::positions(&journal, young).await.len(), 2000);
    journal.stop().await;
}
