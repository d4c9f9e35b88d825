//! Multi-row statements work on both engines, with and without NULLs.

use sea_orm::{ConnectionTrait as _, DbBackend, EntityTrait as _};

use super::{kit::letter_of, *};
use crate::apply::apply;
use pointsman_domain::{
    installation::{DeliveryType, Installation, PreviousSecret},
    lane::LetterChange,
    span::SpanCloseReason,
};
use pointsman_journal::{
    LetterCommand,
    changes::{Changes, ClosedSpan, Dead, LetterStatus},
};

async fn write(journal: &OpenJournal, changes: Changes<'static>) {
    let written = journal.write(move |transaction| {
        Box::pin(async move {
            apply(transaction, &changes).await?;
            Ok(((), Vec::new()))
        })
    });
    written.await.unwrap();
}

/// The change of a letter whose replay has failed.
fn returned(given_up: &GivenUp, letter: DeadLetterId, error: Option<&str>) -> &'static LetterCommand {
    let given_up = GivenUp {
        dead_letter_id: Some(letter),
        attempts: 2,
        last_status: error.map(|_| 503),
        last_error: error.map(str::to_owned),
        ..given_up.clone()
    };
    Box::leak(Box::new(letter_of(letter, given_up, Timestamp::from_millis(9))))
}

fn row_of(
    command: &'static LetterCommand,
    workspace_id: WorkspaceId,
    installation_id: InstallationId,
) -> Dead<'static> {
    let LetterChange::GivenUp(given_up) = &command.change else {
        panic!("{command:?} is not given up");
    };
    Dead {
        workspace_id,
        installation_id,
        letter: command,
        given_up,
    }
}

on_both_engines!(
    async fn letters_change_together_and_each_as_it_is_to(scratch: Scratch) {
        let journal = scratch.open().await;
        let (workspace, installation) = scratch.installed(&journal, "crm").await;
        let ids: Vec<DeadLetterId> = (0..8).map(|_| DeadLetterId::new(Clock.new_uuid())).collect();
        kit::append(&journal, workspace, (0..8).map(|_| new_event()).collect())
            .await
            .unwrap()
            .unwrap();
        for (seq, letter) in (1..).zip(&ids) {
            kit::give_up(&journal, workspace, installation, Seq::new(seq), *letter).await;
        }
        let replaying = ids[..6].iter().map(|id| (*id, LetterStatus::Replaying));
        let discarded = ids[6..].iter().map(|id| (*id, LetterStatus::Discarded));
        let letters = replaying.chain(discarded).collect();
        write(
            &journal,
            Changes {
                letters,
                ..Changes::default()
            },
        )
        .await;
        let events = journal.page(workspace, Seq::ZERO, Seq::new(1), 1).await.unwrap();
        let given_up = GivenUp {
            key: DeliveryKey {
                kind: DeliveryKind::Replay,
                event_id: events[0].id,
                handler: HandlerName::WHOLE,
            },
            event: Arc::clone(&events[0]),
            settled: Seq::ZERO,
            reason: DeadLetterReason::RetriesExhausted,
            attempts: 1,
            last_status: None,
            last_error: None,
            dead_letter_id: None,
        };
        let again = [(ids[0], Some("down")), (ids[1], None), (ids[2], Some("away"))]
            .map(|(id, error)| row_of(returned(&given_up, id, error), workspace, installation));
        write(
            &journal,
            Changes {
                returned: again.into(),
                replayed: ids[3..6]
                    .iter()
                    .map(|id| (*id, Timestamp::from_millis(7)))
                    .collect(),
                ..Changes::default()
            },
        )
        .await;
        let statuses = "SELECT status || ' ' || attempts || ' ' || COALESCE(last_error, '-') AS entry \
                        FROM dead_letter_event ORDER BY seq";
        let statuses = kit::texts(&journal, statuses).await;
        let expected = [
            "DEAD 2 down",
            "DEAD 2 -",
            "DEAD 2 away",
            "REPLAYED 2 -",
            "REPLAYED 2 -",
            "REPLAYED 2 -",
            "DISCARDED 1 -",
            "DISCARDED 1 -",
        ];
        assert_eq!(statuses, expected);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn marks_go_up_to_where_they_are_swept(scratch: Scratch) {
        let journal = scratch.open().await;
        let (_, first) = scratch.installed(&journal, "crm").await;
        let (_, second) = scratch.installed(&journal, "chat").await;
        for (installation, seq) in [(first, 1), (first, 2), (second, 1), (second, 2), (second, 3)] {
            let id = Clock.new_uuid();
            let literal = |id: uuid::Uuid| match journal.reader().get_database_backend() {
                DbBackend::Sqlite => format!("x'{}'", id.simple()),
                _ => format!("'{id}'"),
            };
            let (installation, id) = (literal(installation.uuid()), literal(id));
            kit::execute_directly(
                &journal,
                &format!(
                    "INSERT INTO ext_delivery_done (installation_id, kind, event_id, handler, seq) \
                 VALUES ({installation}, 'LIVE', {id}, '', {seq})"
                ),
            )
            .await;
        }
        let swept = vec![(first, Seq::new(2)), (second, Seq::new(2))];
        let unmarked = journal
            .write(move |transaction| {
                Box::pin(async move {
                    let changes = Changes {
                        swept,
                        ..Changes::default()
                    };
                    Ok((apply(transaction, &changes).await?.unmarked, Vec::new()))
                })
            })
            .await
            .unwrap();
        assert_eq!(unmarked, [first]);
        let left = kit::texts(
            &journal,
            "SELECT CAST(seq AS TEXT) AS entry FROM ext_delivery_done",
        )
        .await;
        assert_eq!(left, ["3"]);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn installations_change_together_with_their_spans(scratch: Scratch) {
        let journal = scratch.open().await;
        let (workspace, first) = scratch.installed(&journal, "crm").await;
        let (other, second) = scratch.installed(&journal, "chat").await;
        let mut changed: Vec<&'static Installation> = Vec::new();
        for (workspace, id) in [(workspace, first), (other, second)] {
            let subscribe = InstallationChange::Subscribe {
                subscription_id: SubscriptionId::new(Clock.new_uuid()),
                pattern: EventPattern::parse("a.**").unwrap(),
            };
            journal
                .change_installation(workspace, id, subscribe)
                .await
                .unwrap();
        }
        for (workspace, id) in [(workspace, first), (other, second)] {
            let (_, views) = journal.load(workspace).await.unwrap();
            let view = views.into_iter().find(|view| view.id() == id).unwrap();
            let is_first = id == first;
            changed.push(Box::leak(Box::new(Installation {
                name: "changed".to_owned(),
                rate_limit: is_first.then_some(5),
                held_since: is_first.then_some(Timestamp::from_millis(3)),
                enabled: !is_first,
                revision: 9,
                // A column that a change never writes.
                delivery_type: DeliveryType::InProcess,
                ..view.installation
            })));
        }
        let spans = entity::ext_event_subscription::Entity::find()
            .all(journal.reader())
            .await
            .unwrap();
        assert_eq!(spans.len(), 2);
        let closed_spans = spans.iter().map(|span| ClosedSpan {
            id: span.id,
            until: Seq::new(4),
            reason: SpanCloseReason::Disabled,
        });
        write(
            &journal,
            Changes {
                changed,
                closed_spans: closed_spans.collect(),
                closed: vec![first, second],
                ..Changes::default()
            },
        )
        .await;
        let rows = "SELECT name || ' ' || COALESCE(CAST(rate_limit AS TEXT), '-') || ' ' || \
                    COALESCE(CAST(held_since AS TEXT), '-') || ' ' || CAST(revision AS TEXT) || ' ' || \
                    delivery_type || ' ' || CASE WHEN closed THEN 'closed' ELSE 'open' END AS entry \
                    FROM ext_installation ORDER BY key DESC";
        let expected = [
            "changed 5 3 9 EXTERNAL_SERVICE closed",
            "changed - - 9 EXTERNAL_SERVICE closed",
        ];
        assert_eq!(kit::texts(&journal, rows).await, expected);
        let rows = "SELECT CAST(until_seq AS TEXT) || ' ' || closed_by AS entry FROM ext_event_subscription";
        let rows = kit::texts(&journal, rows).await;
        assert!(rows.iter().all(|row| row == "4 DISABLED"), "{rows:?}");
        assert_eq!(rows.len(), spans.len());
        journal.stop().await;
    }
);

/// An installation in which each field differs from every other field of its type: the numbers by their offsets, the
/// switches over the `variant`s 0 to 2, in at least one of which any two of them differ.
fn distinct(id: InstallationId, workspace_id: WorkspaceId, variant: i64) -> Installation {
    let number = |offset: i64| 100 * (variant + 1) + offset;
    let limit = |offset| u32::try_from(number(offset)).ok();
    let text = |name: &str| format!("{name} {variant}");
    let switch = |code: i64| code >> variant & 1 == 1;
    Installation {
        id,
        workspace_id,
        key: "crm".to_owned(),
        name: text("name"),
        delivery_type: DeliveryType::ExternalService,
        service_base_url: Some(text("url")),
        signing_secret: text("secret"),
        previous_secret: Some(PreviousSecret {
            sealed: text("previous"),
            until: Timestamp::from_millis(number(1)),
        }),
        headers: text("headers"),
        enabled: switch(1),
        paused: switch(2),
        concurrency: limit(2),
        ordered: switch(3),
        rate_limit: limit(3),
        available: switch(4),
        held_since: Some(Timestamp::from_millis(number(4))),
        revision: number(5),
        installed_at: Timestamp::from_millis(6),
        installed_seq: Seq::new(7),
        uninstalled_at: Some(Timestamp::from_millis(number(8))),
        uninstalled_seq: Some(Seq::new(number(9))),
        closed: switch(5),
    }
}

on_both_engines!(
    async fn every_field_of_an_installation_is_written_and_read_back(scratch: Scratch) {
        let journal = scratch.open().await;
        let workspace = scratch.workspace();
        for start in 0..3 {
            let id = InstallationId::new(Clock.new_uuid());
            let of = |variant: i64| Installation {
                key: format!("crm-{start}"),
                ..distinct(id, workspace, variant)
            };
            let leaked =
                |installation: Installation| -> &'static Installation { Box::leak(Box::new(installation)) };
            let read = async || {
                let row = entity::ext_installation::Entity::find_by_id(id.uuid());
                row.one(journal.reader()).await.unwrap().map(Installation::from)
            };
            let installed = vec![leaked(of(start))];
            write(
                &journal,
                Changes {
                    installed,
                    ..Changes::default()
                },
            )
            .await;
            assert_eq!(read().await, Some(of(start)));
            for variant in [(start + 1) % 3, (start + 2) % 3] {
                let changed = vec![leaked(of(variant))];
                write(
                    &journal,
                    Changes {
                        changed,
                        ..Changes::default()
                    },
                )
                .await;
                assert_eq!(read().await, Some(of(variant)));
            }
        }
        journal.stop().await;
    }
);
