//! Settlements: which lane may send them, and what they change.

use super::*;

on_both_engines!(
    async fn a_predecessors_settlement_is_refused(scratch: Scratch) {
        let journal = scratch.open().await;
        let (workspace, installation) = scratch.installed(&journal, "crm").await;
        kit::append(&journal, workspace, vec![new_event()])
            .await
            .unwrap()
            .unwrap();
        let first = journal.attach(installation).await.unwrap();
        let second = journal.attach(installation).await.unwrap();
        assert!(second.generation > first.generation);
        let settled = Seq::new(1);
        let late = kit::settle(
            &journal,
            workspace,
            installation,
            first.generation,
            settled,
            |_| (),
        )
        .await;
        assert_eq!(late, Err(SettleError::Fenced));
        assert_eq!(
            journal.attach(installation).await.unwrap().attachment.settled,
            Seq::ZERO
        );
        let third = journal.attach(installation).await.unwrap();
        let own = kit::settle(
            &journal,
            workspace,
            installation,
            third.generation,
            settled,
            |_| (),
        )
        .await;
        assert_eq!(own, Ok(()));
        assert_eq!(
            journal.attach(installation).await.unwrap().attachment.settled,
            settled
        );
        journal.stop().await;
        let journal = scratch.open().await;
        assert!(
            journal.attach(installation).await.unwrap().generation > third.generation,
            "also after a restart"
        );
        journal.stop().await;
    }
);

on_both_engines!(
    async fn a_settlement_moves_the_cursor_parks_and_gives_up_at_once(scratch: Scratch) {
        let journal = scratch.open().await;
        let (workspace, installation) = scratch.installed(&journal, "crm").await;
        for _ in 0..4 {
            kit::append(&journal, workspace, vec![new_event()])
                .await
                .unwrap()
                .unwrap();
        }
        let events = journal.page(workspace, Seq::ZERO, Seq::new(4), 10).await.unwrap();
        let generation = journal.attach(installation).await.unwrap().generation;
        let key = |index: usize| DeliveryKey {
            kind: DeliveryKind::Live,
            event_id: events[index].id,
            handler: HandlerName::WHOLE,
        };
        let written = kit::settle(
            &journal,
            workspace,
            installation,
            generation,
            Seq::new(1),
            |command| {
                command.park.push(ParkedRetry {
                    key: key(2),
                    seq: events[2].seq,
                    attempts: 1,
                    next_attempt_at: Timestamp::from_millis(5_000),
                    last_error: Some("no".to_owned()),
                    last_status: Some(500),
                });
                let given_up = GivenUp {
                    key: key(3),
                    event: Arc::clone(&events[3]),
                    settled: Seq::new(1),
                    reason: DeadLetterReason::Gone,
                    attempts: 1,
                    last_status: Some(410),
                    last_error: None,
                    dead_letter_id: None,
                };
                let id = DeadLetterId::new(Clock.new_uuid());
                let letter = kit::letter_of(id, given_up, Timestamp::from_millis(7));
                command.letters.push(letter);
            },
        );
        assert_eq!(written.await, Ok(()));
        let attachment = journal.attach(installation).await.unwrap().attachment;
        assert_eq!(attachment.settled, Seq::new(1));
        assert_eq!(
            attachment
                .handled
                .into_iter()
                .map(|(seq, _)| seq.get())
                .collect::<Vec<_>>(),
            [3, 4]
        );
        assert_eq!(attachment.next_retry_at, Some(Timestamp::from_millis(5_000)));
        assert_eq!(
            (attachment.parked_live, attachment.parked_through),
            (true, Some(Seq::new(3)))
        );
        assert_eq!(attachment.head, Seq::new(4));

        let due = |by| journal.due_retries(workspace, installation, Timestamp::from_millis(by), 10);
        let (rows, next) = due(4_999).await.unwrap();
        assert!(rows.is_empty());
        assert_eq!(next, Some(Timestamp::from_millis(5_000)));
        let (rows, next) = due(5_000).await.unwrap();
        assert_eq!((rows.len(), next), (1, None));
        assert_eq!(
            (rows[0].key, rows[0].attempts, rows[0].last_status),
            (key(2), 1, Some(500))
        );
        assert_eq!(*rows[0].event.payload, *events[2].payload);

        let generation = journal.attach(installation).await.unwrap().generation;
        let removed = kit::settle(
            &journal,
            workspace,
            installation,
            generation,
            Seq::new(4),
            |command| {
                command.remove.push(key(2));
            },
        );
        assert_eq!(removed.await, Ok(()));
        assert!(due(i64::MAX).await.unwrap().0.is_empty());
        journal.stop().await;
    }
);

on_both_engines!(
    async fn a_cursor_never_moves_back(scratch: Scratch) {
        let journal = scratch.open().await;
        let (workspace, installation) = scratch.installed(&journal, "crm").await;
        let events = (0..5).map(|_| new_event()).collect();
        kit::append(&journal, workspace, events).await.unwrap().unwrap();
        let generation = journal.attach(installation).await.unwrap().generation;
        for settled in [5, 3, 4] {
            let settled = Seq::new(settled);
            kit::settle(&journal, workspace, installation, generation, settled, |_| ())
                .await
                .unwrap();
        }
        assert_eq!(
            journal.attach(installation).await.unwrap().attachment.settled,
            Seq::new(5)
        );
        journal.stop().await;
    }
);

on_both_engines!(
    async fn the_last_outcomes_are_settled_with_the_cursor_and_without_a_move_of_it(scratch: Scratch) {
        let journal = scratch.open().await;
        let (workspace, crm) = scratch.installed(&journal, "crm").await;
        kit::append(&journal, workspace, vec![new_event()])
            .await
            .unwrap()
            .unwrap();
        let generation = journal.attach(crm).await.unwrap().generation;
        let settle = async |settled, attempts: &[(AttemptOutcome, i64)], is_unusual: bool| {
            kit::settle(
                &journal,
                workspace,
                crm,
                generation,
                Seq::new(settled),
                |command| {
                    let record = |(outcome, at): &_| attempt(workspace, crm, *outcome, *at);
                    command.attempts = attempts.iter().map(record).collect();
                    // A settlement that removes a retry is not plain, so that its cursor is written through SeaORM.
                    let none = DeliveryKey {
                        kind: DeliveryKind::Live,
                        event_id: EventId::new(Clock.new_uuid()),
                        handler: HandlerName::WHOLE,
                    };
                    command.remove.extend(is_unusual.then_some(none));
                },
            )
            .await
            .unwrap();
        };
        let last = async || {
            let cursor = ext_delivery_cursor::Entity::find_by_id(crm.uuid())
                .one(journal.reader())
                .await
                .unwrap()
                .unwrap();
            (cursor.last_success_at, cursor.last_failure_at)
        };
        assert_eq!(last().await, (None, None));
        for (is_unusual, at) in [(false, 0), (true, 10)] {
            settle(0, &[(AttemptOutcome::Timeout, at + 1)], is_unusual).await;
            assert_eq!(last().await.1, Some(at + 1), "without a move of the cursor");
            let both = [
                (AttemptOutcome::Delivered, at + 3),
                (AttemptOutcome::Connect, at + 2),
            ];
            settle(1, &both, is_unusual).await;
            settle(1, &[], is_unusual).await;
            assert_eq!(last().await, (Some(at + 3), Some(at + 2)));
            // The settlement of a replay.
            settle(0, &[(AttemptOutcome::Delivered, at + 4)], is_unusual).await;
            assert_eq!(last().await, (Some(at + 4), Some(at + 2)));
        }
        assert_eq!(
            journal.attach(crm).await.unwrap().attachment.settled,
            Seq::new(1),
            "it does not move back"
        );
        journal.stop().await;
    }
);

fn attempt(
    workspace_id: WorkspaceId,
    installation_id: InstallationId,
    outcome: AttemptOutcome,
    at: i64,
) -> AttemptRecord {
    AttemptRecord {
        id: Clock.new_uuid(),
        workspace_id,
        installation_id,
        event_id: EventId::new(Clock.new_uuid()),
        handler: HandlerName::WHOLE,
        kind: DeliveryKind::Live,
        number: 1,
        outcome,
        http_status: None,
        duration_ms: 3,
        error: None,
        response: None,
        attempted_at: Timestamp::from_millis(at),
    }
}
