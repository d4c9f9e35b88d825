//! A clock that was set back, or is far ahead, after the server was down.

use sea_orm::ConnectionTrait;

use super::*;

const HOUR: i64 = 60 * 60 * 1000;

on_both_engines!(
    async fn retries_wait_no_longer_after_the_clock_was_set_back(scratch: Scratch) {
        let journal = scratch.open().await;
        let (workspace, installation) = scratch.installed(&journal, "crm").await;
        kit::append(&journal, workspace, vec![new_event(), new_event(), new_event()])
            .await
            .unwrap()
            .unwrap();
        let events = journal.page(workspace, Seq::ZERO, Seq::new(3), 3).await.unwrap();
        let generation = journal.attach(installation).await.unwrap().generation;
        // The times that a server with a clock one hour ahead has stored.
        let last_seen = Clock.now().millis() + HOUR;
        let due = [last_seen - HOUR, last_seen + 1000, last_seen + HOUR];
        let parked = kit::settle(
            &journal,
            workspace,
            installation,
            generation,
            Seq::ZERO,
            |command| {
                for (event, at) in events.iter().zip(due) {
                    command.park.push(ParkedRetry {
                        key: DeliveryKey {
                            kind: DeliveryKind::Live,
                            event_id: event.id,
                            handler: pointsman_domain::handler_name::HandlerName::WHOLE,
                        },
                        seq: event.seq,
                        attempts: 1,
                        next_attempt_at: Timestamp::from_millis(at),
                        last_error: None,
                        last_status: None,
                    });
                }
            },
        );
        parked.await.unwrap();
        journal.stop().await;
        let client = scratch.client().await;
        let sql = format!("UPDATE engine_clock SET last_seen_at = {last_seen}");
        client.execute_unprepared(&sql).await.unwrap();
        client.close().await.unwrap();

        let before = Clock.now().millis();
        let journal = scratch.open().await;
        let after = Clock.now().millis();
        let far = Timestamp::from_millis(i64::MAX);
        let (rows, _) = journal
            .due_retries(workspace, installation, far, 9)
            .await
            .unwrap();
        let moved: Vec<i64> = rows.iter().map(|row| row.next_attempt_at.millis()).collect();
        for (at, wait) in moved.into_iter().zip([0, 1000, HOUR]) {
            assert!((before + wait..=after + wait).contains(&at), "{at} for {wait}");
        }
        journal.stop().await;

        let journal = scratch.open().await;
        let (rows, _) = journal
            .due_retries(workspace, installation, far, 9)
            .await
            .unwrap();
        let last = rows[2].next_attempt_at.millis();
        assert!(
            (before + HOUR..=after + HOUR).contains(&last),
            "a start with a clock that goes on moves nothing"
        );
        journal.stop().await;
    }
);

on_both_engines!(
    async fn what_is_held_does_not_expire_because_no_server_ran(scratch: Scratch) {
        let journal = scratch.open().await;
        let (workspace, held) = scratch.installed(&journal, "crm").await;
        let update = InstallationChange::Update(InstallationUpdate {
            paused: Some(true),
            ..InstallationUpdate::default()
        });
        journal
            .change_installation(workspace, held, update)
            .await
            .unwrap();
        journal.stop().await;
        let held_since = async |journal: &OpenJournal| {
            let (_, views) = journal.load(workspace).await.unwrap();
            views[0].installation.held_since.unwrap().millis()
        };

        // A month has passed since, or the clock says so.
        let client = scratch.client().await;
        let now = Clock.now().millis();
        for (days, hours_held) in [(30, 24), (1, 48)] {
            let sql = format!(
                "UPDATE engine_clock SET last_seen_at = {}",
                now - days * 24 * HOUR
            );
            client.execute_unprepared(&sql).await.unwrap();
            let sql = format!(
                "UPDATE ext_installation SET held_since = {}",
                now - (days * 24 + hours_held - 24) * HOUR
            );
            client.execute_unprepared(&sql).await.unwrap();
            let journal = scratch.open().await;
            let hours = (Clock.now().millis() - held_since(&journal).await) / HOUR;
            assert_eq!(hours, hours_held, "after {days} days");
            journal.stop().await;
        }
        client.close().await.unwrap();
    }
);
