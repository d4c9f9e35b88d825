//! Deliveries to handlers in this process.

use entity::{dead_letter_event, ext_delivery_attempt, platform_event};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use super::{
    kit::{Running, on_both_engines},
    probe::{notes, with_hurried_probe, with_old_probe, with_probe, with_probe_once},
    *,
};
use pointsman_domain::id::EventId;

impl Running {
    /// The only letter about the event, once there is one.
    pub(super) async fn letter(&self, event: EventId) -> dead_letter_event::Model {
        self.every_one_is_dead(&[event]).await;
        let letters =
            dead_letter_event::Entity::find().filter(dead_letter_event::Column::EventId.eq(event.uuid()));
        letters.one(self.reader()).await.unwrap().unwrap()
    }

    /// The attempts at the event, once there are so many, oldest first.
    pub(super) async fn attempts(&self, event: EventId, count: usize) -> Vec<ext_delivery_attempt::Model> {
        let read = async || {
            let attempts = ext_delivery_attempt::Entity::find()
                .filter(ext_delivery_attempt::Column::EventId.eq(event.uuid()))
                .order_by_asc(ext_delivery_attempt::Column::Id);
            attempts.all(self.reader()).await.unwrap()
        };
        self.eventually("the attempts are recorded", async || read().await.len() >= count)
            .await;
        read().await
    }

    pub(super) async fn events(&self, workspace: WorkspaceId) -> Vec<platform_event::Model> {
        let events = platform_event::Entity::find()
            .filter(platform_event::Column::WorkspaceId.eq(workspace.uuid()))
            .order_by_asc(platform_event::Column::Seq);
        events.all(self.reader()).await.unwrap()
    }
}

on_both_engines!(
    async fn a_publisher_waits_for_a_synchronous_handler(running: Running with with_probe) {
        let (workspace, _) = running.probed().await;
        for count in 1..=3 {
            running.order(workspace, "probe.sync", "nothing").await;
            assert_eq!(notes(workspace).calls().len(), count, "it is called before the answer");
        }
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_publisher_does_not_wait_for_an_asynchronous_handler(running: Running with with_probe) {
        let (workspace, _) = running.probed().await;
        let event = running.order(workspace, "probe.async", "wait").await;
        let called = notes(workspace).called("on_async", 1).await;
        assert_eq!(called[0].event, event);
        notes(workspace).gate.notify_one();
        let attempts = running.attempts(event, 1).await;
        assert_eq!(
            (attempts[0].outcome.as_str(), attempts[0].handler.as_str()),
            ("DELIVERED", "on_async")
        );
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_failed_attempt_names_its_handler_and_is_made_again(running: Running with with_probe) {
        let (workspace, _) = running.probed().await;
        let event = running.order(workspace, "probe.sync", "fail_once").await;
        let calls = notes(workspace).called("on_sync", 2).await;
        assert_eq!(calls.iter().map(|call| call.attempt).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(calls[0].deduplication, calls[1].deduplication);
        let attempts = running.attempts(event, 2).await;
        assert_eq!(attempts[0].outcome, "HANDLER_ERROR");
        assert_eq!(attempts[0].error.as_deref(), Some("not yet"));
        assert_eq!(attempts[0].handler, "on_sync");
        assert_eq!(attempts[1].outcome, "DELIVERED");
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_publisher_waits_no_longer_than_it_may(running: Running with with_hurried_probe) {
        let (workspace, _) = running.probed().await;
        let event = running.order(workspace, "probe.sync", "hang").await;
        let letter = running.letter(event).await;
        assert_eq!(letter.reason, "RETRIES_EXHAUSTED");
        let attempts = running.attempts(event, 1).await;
        assert_eq!(attempts[0].outcome, "TIMEOUT");
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_lane_that_is_behind_makes_no_publisher_wait(running: Running with |settings| {
        with_probe(settings);
        settings.concurrency = 1;
        settings.in_process.sync_timeout = Duration::from_secs(3600);
    }) {
        let (workspace, _) = running.probed().await;
        let waiting = running.order(workspace, "probe.sync", "wait");
        let notes = notes(workspace);
        let behind = async {
            notes.called("on_sync", 1).await;
            for _ in 0..10 {
                running.order(workspace, "probe.sync", "nothing").await;
            }
            notes.gate.notify_one();
        };
        futures_util::future::join(waiting, behind).await;
        assert_eq!(notes.called("on_sync", 11).await.len(), 11);
        running.stop().await;
    }
);

on_both_engines!(
    async fn what_can_never_succeed_is_dead_at_once(running: Running with with_probe) {
        let (workspace, installation) = running.probed().await;
        let event = running.order(workspace, "probe.sync", "fail_for_ever").await;
        let letter = running.letter(event).await;
        assert_eq!(
            (letter.reason.as_str(), letter.attempts, letter.handler.as_str()),
            ("PERMANENT_ERROR", 1, "on_sync")
        );
        assert_eq!(letter.last_error.as_deref(), Some("it can never be"));

        let event = running.publish_payload(workspace, "probe.sync", r#"{"do":7}"#).await;
        let letter = running.letter(event).await;
        assert_eq!((letter.reason.as_str(), letter.attempts), ("INVALID_PAYLOAD", 1));
        let error = letter.last_error.unwrap();
        assert!(error.starts_with("payload.do: invalid type: integer `7`"), "{error}");

        let subscribe = InstallationChange::Subscribe {
            subscription_id: pointsman_domain::id::SubscriptionId::new(Clock.new_uuid()),
            pattern: pointsman_domain::event_pattern::EventPattern::parse("probe.nobody").unwrap(),
        };
        running.change(workspace, installation, subscribe).await;
        let event = running.order(workspace, "probe.nobody", "nothing").await;
        let letter = running.letter(event).await;
        assert_eq!(letter.reason, "NO_HANDLER");
        assert_eq!(
            letter.last_error.as_deref(),
            Some("no handler of the extension takes probe.nobody")
        );
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_panic_is_a_failed_attempt_of_its_handler_alone(running: Running with with_probe_once) {
        let (workspace, _) = running.probed().await;
        let event = running.order(workspace, "probe.both", "first:panic").await;
        let letter = running.letter(event).await;
        assert_eq!(letter.handler, "first");
        let error = letter.last_error.unwrap();
        assert!(error.starts_with("panicked: the probe panics (crates/router/src/tests/probe.rs:"), "{error}");
        let attempts = running.attempts(event, 2).await;
        let outcome = |handler: &str| {
            let of = attempts.iter().find(|attempt| attempt.handler == handler);
            of.map(|attempt| attempt.outcome.as_str())
        };
        assert_eq!(outcome("first"), Some("PANIC"));
        assert_eq!(outcome("second_of_both"), Some("DELIVERED"));
        let next = running.order(workspace, "probe.both", "nothing").await;
        assert_eq!(notes(workspace).called("first", 2).await[1].event, next);
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_nul_in_the_text_of_an_error_is_kept_as_a_replacement_character(running: Running with with_probe) {
        let (workspace, _) = running.probed().await;
        for (deed, expected) in [
            ("fail_with_nul", "a\u{fffd}b"),
            ("panic_with_nul", "panicked: a\u{fffd}b (crates/router/src/tests/probe.rs:"),
        ] {
            // Parked three times, and then a letter, which is replayed and dead again.
            let event = running.order(workspace, "probe.sync", deed).await;
            let letter = running.letter(event).await;
            let error = letter.last_error.unwrap();
            assert!(error.starts_with(expected), "{error:?}");
            let attempts = running.attempts(event, 4).await;
            for attempt in attempts {
                let error = attempt.error.unwrap();
                assert!(error.starts_with(expected), "{error:?}");
            }
            let id = running.letter_of(event).await;
            running.router.replay(workspace, id, None).await.unwrap();
            running.eventually("it is dead again", async || running.letter(event).await.attempts > 4).await;
        }
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_handler_is_replayed_alone(running: Running with with_probe_once) {
        let (workspace, _) = running.probed().await;
        let event = running.order(workspace, "probe.both", "first:fail").await;
        running.letter(event).await;
        let letter = running.letter_of(event).await;
        running.router.replay(workspace, letter, None).await.unwrap();
        notes(workspace).called("first", 2).await;
        running.every_one_is_dead(&[event]).await;
        assert_eq!(notes(workspace).called("second_of_both", 1).await.len(), 1);
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_handler_may_have_a_schedule_of_its_own(running: Running with with_probe) {
        let (workspace, _) = running.probed().await;
        let event = running.order(workspace, "probe.impatient", "fail").await;
        let letter = running.letter(event).await;
        assert_eq!(letter.attempts, 2);
        running.stop().await;
    }
);

on_both_engines!(
    async fn what_a_handler_publishes_is_not_published_again(running: Running with with_probe) {
        let (workspace, _) = running.probed().await;
        let event = running.order(workspace, "probe.sync", "publish_and_fail_once").await;
        notes(workspace).called("on_sync", 2).await;
        notes(workspace).called("on_async", 2).await;
        let attempts = running.attempts(event, 2).await;
        assert_eq!(attempts[1].outcome, "DELIVERED");
        let events = running.events(workspace).await;
        assert_eq!(events.len(), 3, "the first attempt has published both");
        for caused in &events[1..] {
            assert_eq!(caused.causation_id, Some(event.uuid()));
            assert_eq!(caused.correlation_id, Some(event.uuid()));
            assert_eq!((caused.causation_depth, caused.actor.as_deref()), (1, Some("probe")));
        }
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_handler_publishes_to_its_own_key_until_the_chain_is_too_long(running: Running with |settings| {
        with_probe_once(settings);
        settings.concurrency = 1;
        settings.in_process.max_causation_depth = 5;
    }) {
        let (workspace, _) = running.probed().await;
        let first = running.order(workspace, "probe.sync", "again").await;
        notes(workspace).called("on_sync", 5).await;
        let events = running.events(workspace).await;
        let last = events.last().unwrap();
        let letter = running.letter(EventId::new(last.id)).await;
        let error = letter.last_error.unwrap();
        let shown = format!("the chain of causes is longer than 5 events: probe.sync ({}) ← ", last.id);
        assert!(error.starts_with(&shown), "{error}");
        assert!(error.ends_with(&format!("probe.sync ({first})")), "{error}");
        assert_eq!(running.events(workspace).await.len(), 5);
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_handler_publishes_while_publishers_hold_every_permit(running: Running with with_probe) {
        let (workspace, _) = running.probed().await;
        running.order(workspace, "probe.async", "wait_and_publish").await;
        notes(workspace).called("on_async", 1).await;
        let shared = &running.router.shared;
        let entry = shared.directory.entry(workspace);
        let permits: Vec<_> = std::iter::from_fn(|| shared.admission.admit(&entry.admission, 1)).collect();
        assert!(!permits.is_empty());
        assert!(running.router.may_publish(workspace).is_err());
        notes(workspace).gate.notify_one();
        notes(workspace).called("on_async", 2).await;
        drop(permits);
        running.stop().await;
    }
);

on_both_engines!(
    async fn an_installation_waits_for_its_code(running: Running with with_probe) {
        let (workspace, installation) = running.probed().await;
        running.order(workspace, "probe.sync", "nothing").await;
        running.router.stop(Duration::from_secs(20)).await;

        let without = running.start_again_with(|_| {}).await;
        let event = without.order(workspace, "probe.sync", "nothing").await;
        assert_eq!(notes(workspace).calls().len(), 1, "nobody is here to handle it");
        without.router.stop(Duration::from_secs(20)).await;

        let again = without.start_again_with(with_probe).await;
        let calls = notes(workspace).called("on_sync", 2).await;
        assert_eq!(calls[1].event, event);
        let row = entity::ext_installation::Entity::find_by_id(installation.uuid());
        let row = row.one(again.reader()).await.unwrap().unwrap();
        assert_eq!((row.available, row.held_since), (true, None));
        again.stop().await;
    }
);

on_both_engines!(
    async fn a_handler_that_is_new_gets_what_is_published_from_then_on(running: Running with with_old_probe) {
        let (workspace, installation) = running.probed().await;
        let before = running.order(workspace, "probe.async", "nothing").await;
        running.router.stop(Duration::from_secs(20)).await;

        let newer = running.start_again_with(with_probe).await;
        let after = newer.order(workspace, "probe.async", "nothing").await;
        let calls = notes(workspace).called("on_async", 1).await;
        assert_eq!(calls[0].event, after);
        assert!(calls.iter().all(|call| call.event != before));
        newer.router.stop(Duration::from_secs(20)).await;

        // What an admin has ended stays ended at the next start.
        let newer = newer.start_again_with(with_probe).await;
        let spans = entity::ext_event_subscription::Entity::find()
            .filter(entity::ext_event_subscription::Column::InstallationId.eq(installation.uuid()))
            .filter(entity::ext_event_subscription::Column::EventKey.eq("probe.async"));
        let span = spans.one(newer.reader()).await.unwrap().unwrap();
        let unsubscribe = InstallationChange::Unsubscribe {
            subscription_id: pointsman_domain::id::SubscriptionId::new(span.subscription_id),
        };
        newer.change(workspace, installation, unsubscribe).await;
        newer.router.stop(Duration::from_secs(20)).await;
        let again = newer.start_again_with(with_probe).await;
        again.order(workspace, "probe.async", "nothing").await;
        again.order(workspace, "probe.sync", "nothing").await;
        assert_eq!(notes(workspace).called("on_async", 1).await.len(), 1);
        again.stop().await;
    }
);

on_both_engines!(
    async fn a_letter_that_found_no_handler_is_replayed_to_those_there_are(running: Running with with_old_probe) {
        let (workspace, installation) = running.probed().await;
        let subscribe = InstallationChange::Subscribe {
            subscription_id: pointsman_domain::id::SubscriptionId::new(Clock.new_uuid()),
            pattern: pointsman_domain::event_pattern::EventPattern::parse("probe.both").unwrap(),
        };
        running.change(workspace, installation, subscribe).await;
        let event = running.order(workspace, "probe.both", "nothing").await;
        assert_eq!(running.letter(event).await.reason, "NO_HANDLER");
        running.router.stop(Duration::from_secs(20)).await;

        let newer = running.start_again_with(with_probe).await;
        let letter = newer.letter_of(event).await;
        newer.router.replay(workspace, letter, None).await.unwrap();
        notes(workspace).called("first", 1).await;
        notes(workspace).called("second_of_both", 1).await;
        newer
            .eventually("it is replayed", async || newer.letter(event).await.status == "REPLAYED")
            .await;
        newer.stop().await;
    }
);
