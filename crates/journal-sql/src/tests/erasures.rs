//! The payload of an event is erased wherever it is.

use pointsman_domain::{
    attempt::DeliveryKind,
    event::PlatformEvent,
    handler_name::HandlerName,
    id::{DeadLetterId, InstallationId, UserId, WorkspaceId},
    lane::{DeliveryKey, ParkedRetry},
};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use uuid::Uuid;

use super::{migrations::execute, *};

const ADMIN: UserId = UserId::new(Uuid::nil());
const SECRET: &str = "Erika Mustermann, 1964";

/// A workspace with an event that quotes the secret in its payload, its actor, a letter, an attempt, a retry and a
/// message of the chat; and with another event.
struct World {
    workspace: WorkspaceId,
    installation: InstallationId,
    event: Arc<PlatformEvent>,
}

impl World {
    async fn new(scratch: &Scratch, journal: &OpenJournal) -> Self {
        let workspace = scratch.workspace();
        let mut crm = kit::new_installation("crm");
        crm.subscriptions = vec![spans::subscription(0)];
        let installation = journal.install(workspace, crm).await.unwrap().id();
        let told = NewEvent {
            payload: format!("{{\"name\":\"{SECRET}\"}}").into(),
            actor: Some(SECRET.into()),
            ..new_event()
        };
        kit::append(journal, workspace, vec![told, new_event()])
            .await
            .unwrap()
            .unwrap();
        let mut events = journal.page(workspace, Seq::ZERO, Seq::new(1), 1).await.unwrap();
        let world = Self {
            workspace,
            installation,
            event: events.remove(0),
        };
        let letter = DeadLetterId::new(Clock.new_uuid());
        kit::give_up(journal, workspace, installation, Seq::new(1), letter).await;
        world.park(journal).await.unwrap();
        let client = scratch.client().await;
        let ids = [
            Clock.new_uuid(),
            workspace.uuid(),
            installation.uuid(),
            world.event.id.uuid(),
        ];
        let attempt = format!(
            "INSERT INTO ext_delivery_attempt (id, workspace_id, installation_id, event_id, handler, kind, number, \
             outcome, duration_ms, attempted_at, error, response) \
             VALUES ({{1}}, {{2}}, {{3}}, {{4}}, '', 'LIVE', 1, 'REJECTED', 1, 0, '{SECRET}', '{SECRET}')"
        );
        execute(&client, &attempt, &ids).await;
        let message = format!(
            "INSERT INTO chat_message (id, workspace_id, event_id, channel, message, sender, created_at) \
             VALUES ({{1}}, {{2}}, {{3}}, 'deals', '{SECRET}', '{SECRET}', 0)"
        );
        execute(&client, &message, &[ids[0], ids[1], ids[3]]).await;
        client.close().await.unwrap();
        world
    }

    /// As a lane that has an answer which quotes the payload.
    async fn park(&self, journal: &OpenJournal) -> Result<(), SettleError> {
        let generation = journal.attach(self.installation).await.unwrap().generation;
        let (workspace, installation) = (self.workspace, self.installation);
        kit::settle(
            journal,
            workspace,
            installation,
            generation,
            Seq::new(1),
            |command| {
                command.park.push(ParkedRetry {
                    key: DeliveryKey {
                        kind: DeliveryKind::Live,
                        event_id: self.event.id,
                        handler: HandlerName::WHOLE,
                    },
                    seq: self.event.seq,
                    attempts: 1,
                    next_attempt_at: Clock.now(),
                    last_error: Some(SECRET.to_owned()),
                    last_status: Some(400),
                });
            },
        )
        .await
    }
}

/// The columns of all tables that hold the secret, by the schema itself.
async fn holding(scratch: &Scratch) -> Vec<String> {
    let client = scratch.client().await;
    let backend = client.get_database_backend();
    let columns = match backend {
        DbBackend::Sqlite => {
            "SELECT m.name AS tbl, c.name AS col FROM sqlite_master m, pragma_table_info(m.name) c \
             WHERE m.type = 'table' ORDER BY 1, 2"
        }
        _ => {
            "SELECT table_name::TEXT AS tbl, column_name::TEXT AS col FROM information_schema.columns \
             WHERE table_schema = current_schema() ORDER BY 1, 2"
        }
    };
    let columns = client
        .query_all_raw(Statement::from_string(backend, columns))
        .await
        .unwrap();
    let mut holding = Vec::new();
    for column in columns {
        let (table, column): (String, String) = (
            column.try_get("", "tbl").unwrap(),
            column.try_get("", "col").unwrap(),
        );
        let sql =
            format!("SELECT 1 AS one FROM {table} WHERE CAST({column} AS TEXT) LIKE '%{SECRET}%' LIMIT 1");
        let found = client
            .query_one_raw(Statement::from_string(backend, sql))
            .await
            .unwrap();
        if found.is_some() {
            holding.push(format!("{table}.{column}"));
        }
    }
    client.close().await.unwrap();
    holding
}

const HELD_BY: [&str; 9] = [
    "chat_message.message",
    "chat_message.sender",
    "dead_letter_event.actor",
    "dead_letter_event.payload",
    "ext_delivery_attempt.error",
    "ext_delivery_attempt.response",
    "ext_delivery_retry.last_error",
    "platform_event.actor",
    "platform_event.payload",
];

on_both_engines!(
    async fn nothing_that_the_database_holds_tells_of_it_any_more(scratch: Scratch) {
        let journal = scratch.open().await;
        let world = World::new(&scratch, &journal).await;
        assert_eq!(holding(&scratch).await, HELD_BY);
        for _ in 0..2 {
            journal
                .erase(world.workspace, world.event.id, ADMIN)
                .await
                .unwrap();
            assert_eq!(holding(&scratch).await, [""; 0]);
        }
        let what = "SELECT CAST(dead_letters AS TEXT) || CAST(attempts AS TEXT) || CAST(retries AS TEXT) || \
                    CAST(chat_messages AS TEXT) AS entry FROM event_erasure WHERE finished";
        assert_eq!(kit::texts(&journal, what).await, ["1111"]);
        let log = journal
            .page(world.workspace, Seq::ZERO, Seq::new(2), 2)
            .await
            .unwrap();
        assert_eq!((log[0].is_erased(), log[0].id), (true, world.event.id));
        assert!(log[0].defect.is_some() && log[1].defect.is_none());
        assert_eq!(journal.corrupt_rows(), 0);
        let letters = kit::texts(&journal, "SELECT status AS entry FROM dead_letter_event").await;
        assert_eq!(letters, ["DEAD"]);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn what_a_lane_sends_after_the_erasure_tells_nothing(scratch: Scratch) {
        let journal = scratch.open().await;
        let world = World::new(&scratch, &journal).await;
        journal
            .erase(world.workspace, world.event.id, ADMIN)
            .await
            .unwrap();
        world.park(&journal).await.unwrap();
        let mut other = kit::new_installation("other");
        other.subscriptions = vec![spans::subscription(0)];
        let other = journal.install(world.workspace, other).await.unwrap().id();
        let generation = journal.attach(other).await.unwrap().generation;
        let given_up = pointsman_domain::lane::GivenUp {
            event: Arc::clone(&world.event),
            settled: Seq::new(1),
            key: DeliveryKey {
                kind: DeliveryKind::Live,
                event_id: world.event.id,
                handler: HandlerName::WHOLE,
            },
            reason: pointsman_domain::attempt::DeadLetterReason::Gone,
            attempts: 1,
            last_status: None,
            last_error: Some(SECRET.to_owned()),
            dead_letter_id: None,
        };
        let letter = DeadLetterId::new(Clock.new_uuid());
        kit::settle(
            &journal,
            world.workspace,
            other,
            generation,
            Seq::new(1),
            |command| {
                command
                    .letters
                    .push(kit::letter_of(letter, given_up, Clock.now()));
            },
        )
        .await
        .unwrap();
        assert_eq!(holding(&scratch).await, [""; 0]);
        let replay = journal.start_replay(world.workspace, letter, None).await;
        assert!(matches!(replay, Err(ChangeError::Conflict(_))), "{replay:?}");
        journal.stop().await;
    }
);

on_both_engines!(
    async fn an_erasure_that_was_not_ended_is_ended_by_the_next_start(scratch: Scratch) {
        let journal = scratch.open().await;
        let world = World::new(&scratch, &journal).await;
        journal.stop().await;
        // As after a kill behind the first transaction.
        let client = scratch.client().await;
        let ids = [world.workspace.uuid(), world.event.id.uuid()];
        let begun = "INSERT INTO event_erasure (workspace_id, seq, event_id, erased_at, erased_by) \
                     VALUES ({1}, 1, {2}, 0, {3})";
        execute(&client, begun, &[ids[0], ids[1], Uuid::nil()]).await;
        execute(
            &client,
            "UPDATE platform_event SET payload = 'null', actor = NULL WHERE id = {1}",
            &[ids[1]],
        )
        .await;
        client.close().await.unwrap();
        let journal = scratch.open().await;
        journal.first_pass().await;
        assert_eq!(holding(&scratch).await, [""; 0]);
        journal.stop().await;
    }
);

#[tokio::test]
async fn an_event_of_another_workspace_is_unknown() {
    let scratch = Scratch::sqlite();
    let journal = scratch.open().await;
    let world = World::new(&scratch, &journal).await;
    let erased = journal.erase(scratch.workspace(), world.event.id, ADMIN).await;
    assert!(
        matches!(erased, Err(ChangeError::NotFound("event"))),
        "{erased:?}"
    );
    assert_eq!(holding(&scratch).await, HELD_BY);
    journal.stop().await;
}
