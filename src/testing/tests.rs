//! Tests of the kit.

use std::time::Duration;

use futures_util::FutureExt;
use serde::Deserialize;
use serde_json::json;

use super::TestRouter;
use pointsman_extension::{Effect, EventContext, HandlerError, PlatformEvent, event_handler, extension};

#[derive(Deserialize)]
struct Order {
    #[serde(default)]
    fail_until: u32,
    #[serde(default)]
    publish: bool,
}

struct Shop;

#[extension(key = "shop", name = "Shop")]
impl Shop {
    #[event_handler(event_key = "shop.ordered", retry = "10s, 1m", max_attempts = 3)]
    async fn ordered(&self, order: Order, cx: EventContext) -> Result<(), HandlerError> {
        if cx.attempt() <= order.fail_until {
            return Err(HandlerError::new("not yet"));
        }
        if order.publish {
            cx.publish("shop.shipped", json!({})).await?;
        }
        Ok(())
    }

    #[event_handler(event_key = "shop.*", async = true)]
    fn everything(&self, _: PlatformEvent) -> Result<(), HandlerError> {
        Ok(())
    }
}

/// Counts in an effect.
struct Counter;

#[extension(key = "counter", name = "Counter")]
impl Counter {
    #[event_handler(event_key = "counter.up", retry = "10s")]
    async fn up(&self, order: Order, cx: EventContext) -> Result<Effect, HandlerError> {
        let fails = cx.attempt() <= order.fail_until;
        Ok(Effect::new(move |_| {
            async move {
                match fails {
                    true => Err(HandlerError::new("the effect fails")),
                    false => Ok(()),
                }
            }
            .boxed()
        }))
    }
}

#[actix::test]
async fn an_effect_that_failed_is_not_handled() {
    let test = TestRouter::with(Counter).await;
    let event = test.publish("counter.up", json!({"fail_until": 1})).await;
    test.settled().await;
    assert!(test.handled().is_empty(), "its first attempt has failed");
    test.turn_clock(Duration::from_secs(20)).await;
    test.settled().await;
    let handled = test.handled();
    assert_eq!((handled.len(), handled[0].attempt), (1, 2));
    assert_eq!(handled[0].event.id, event);
    test.publish("counter.up", json!({"fail_until": 9})).await;
    test.settled().await;
    test.turn_clock(Duration::from_secs(20)).await;
    test.settled().await;
    assert_eq!(test.dead_letters().await.len(), 1);
    assert_eq!(test.handled().len(), 1, "a letter is not handled");
    test.stop().await;
}

#[actix::test]
async fn what_was_handled_and_published_is_told() {
    let test = TestRouter::with(Shop).await;
    let order = test.publish("shop.ordered", json!({"publish": true})).await;
    test.settled().await;
    assert_eq!(test.handled_by("ordered").len(), 1);
    assert_eq!(test.handled_by("everything").len(), 2, "what was published, too");
    let published = test.published().await;
    assert_eq!(published.len(), 1);
    assert_eq!(published[0].correlation_id(), order);
    let mut seen = test.handled_by("everything").into_iter();
    assert!(
        seen.any(|handled| handled.event == published[0]),
        "one type for both"
    );
    test.stop().await;
}

#[actix::test]
async fn retries_come_as_the_clock_is_turned() {
    let test = TestRouter::with(Shop).await;
    test.publish("shop.ordered", json!({"fail_until": 2})).await;
    for (turn, attempts) in [(0, 0), (9, 0), (9, 0), (75, 1)] {
        test.turn_clock(Duration::from_secs(turn)).await;
        test.settled().await;
        assert_eq!(test.handled_by("ordered").len(), attempts, "after {turn} s more");
    }
    assert_eq!(test.handled_by("ordered")[0].attempt, 3);
    test.stop().await;
}

#[actix::test]
async fn what_is_given_up_is_a_letter_that_can_be_replayed() {
    let test = TestRouter::builder()
        .extension(Shop)
        .settings("[delivery]\njitter = 0.0")
        .start()
        .await;
    test.publish("shop.ordered", json!({"fail_until": 3})).await;
    test.publish("shop.ordered", json!({"fail_until": "x"})).await;
    test.settled().await;
    let letters = test.dead_letters().await;
    assert_eq!(letters.len(), 1, "the other one is tried again");
    assert!(letters[0].last_error.as_deref().unwrap().contains("fail_until"));
    for _ in 0..2 {
        test.turn_clock(Duration::from_secs(60)).await;
        test.settled().await;
    }
    let letters = test.dead_letters().await;
    assert_eq!((letters.len(), letters[1].attempts), (2, 3));
    test.replay(letters[1].id).await;
    test.settled().await;
    assert_eq!(test.handled_by("ordered")[0].attempt, 4);
    test.stop().await;
}

#[actix::test]
#[should_panic(expected = "registered already")]
async fn two_extensions_with_one_key_are_refused() {
    TestRouter::builder()
        .extension(Shop)
        .extension(Shop)
        .start()
        .await;
}
