//! Extensions that are made by hand or of actors, without a router.

mod declared;
mod rules;

use std::{
    error::Error,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use actix::prelude::*;
use futures_util::{FutureExt, future::BoxFuture};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    engine::{ContextParts, Failure, HandlerPublish},
    *,
};
use pointsman_domain::{
    event::{self, NewEvent},
    event_key::EventKey,
    id::{EventId, InstallationId, WorkspaceId},
    retry_schedule::RetrySchedule,
    seq::Seq,
    timestamp::Timestamp,
};

#[derive(Debug, Deserialize, PartialEq, schemars::JsonSchema)]
struct DealClosed {
    deal: Deal,
}

#[derive(Debug, Deserialize, PartialEq, schemars::JsonSchema)]
struct Deal {
    id: String,
    amount: f64,
}

const DEAL: &str = r#"{"deal":{"id":"d1","amount":5000.00}}"#;

/// Keeps what is published.
#[derive(Default, Debug)]
struct Published(Mutex<Vec<(u32, String, String)>>);

impl HandlerPublish for Published {
    fn publish(
        &self,
        _: PlatformEvent,
        number: u32,
        publication: Publication,
    ) -> BoxFuture<'static, Result<EventId, PublishError>> {
        let key = publication.event_key.as_str().to_owned();
        self.0
            .lock()
            .unwrap()
            .push((number, key, String::from(&*publication.payload)));
        async { Ok(EventId::new(Uuid::nil())) }.boxed()
    }
}

fn context(payload: &str, publish: Arc<dyn HandlerPublish>) -> EventContext {
    let new = NewEvent {
        id: EventId::new(Uuid::nil()),
        event_key: EventKey::parse("crm.deal.closed").unwrap(),
        schema_version: None,
        actor: None,
        payload: payload.into(),
        occurred_at: Timestamp::default(),
        traceparent: None,
        cause: None,
    };
    let event = event::PlatformEvent::record(WorkspaceId::new(Uuid::nil()), Seq::new(1), new);
    EventContext::new(ContextParts {
        event: PlatformEvent(Arc::new(event)),
        installation: InstallationId::new(Uuid::nil()),
        deduplication_id: Uuid::nil(),
        attempt: 1,
        is_replay: false,
        publish,
    })
}

fn read<T: FromEvent>(payload: &str) -> Result<T, HandlerError> {
    T::from_event(context(payload, Arc::new(Published::default())).event())
}

#[test]
fn a_payload_that_does_not_fit_is_permanent_and_names_the_field() {
    let deal: DealClosed = read(DEAL).unwrap();
    assert_eq!(deal.deal.id, "d1");
    for (payload, expected) in [
        (r#"{"deal":{"id":"d1"}}"#, "payload.deal: missing field `amount`"),
        (
            r#"{"deal":{"id":7,"amount":1}}"#,
            "payload.deal.id: invalid type: integer `7`, expected a string",
        ),
        ("{}", "payload: missing field `deal`"),
    ] {
        let error = read::<DealClosed>(payload).unwrap_err();
        assert_eq!(error.failure(), Failure::InvalidPayload);
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_handler_may_take_the_whole_event() {
    let event: PlatformEvent = read(DEAL).unwrap();
    assert_eq!(&*event.payload, DEAL);
}

#[derive(Debug)]
struct Outer(std::num::ParseIntError);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the amount is no number")
    }
}

impl Error for Outer {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn an_error_shows_its_causes_and_says_what_is_to_be_done() {
    let fails = || -> Result<(), HandlerError> {
        "x".parse::<i32>().map_err(Outer)?;
        Ok(())
    };
    let error = fails().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the amount is no number: invalid digit found in string"
    );
    assert_eq!(error.failure(), Failure::Retry { after: None });
    assert_eq!(HandlerError::permanent("never").failure(), Failure::Permanent);
    let pause = Duration::from_secs(7);
    let later = HandlerError::retry_after(pause, "busy");
    assert_eq!(later.failure(), Failure::Retry { after: Some(pause) });
}

fn handler(name: &str) -> EventHandler {
    EventHandler::new(name, "crm.**", |_| Box::pin(async { Ok(().into()) })).unwrap()
}

struct ByHand(&'static str, Vec<EventHandler>);

impl Extension for ByHand {
    fn key(&self) -> &str {
        self.0
    }

    fn name(&self) -> &str {
        "By hand"
    }

    fn handlers(self: Arc<Self>) -> Vec<EventHandler> {
        self.1.clone()
    }
}

#[test]
fn what_cannot_be_registered_is_said() {
    let mut extensions = Extensions::default();
    let mut register = |key, handlers| {
        extensions
            .register(Arc::new(ByHand(key, handlers)))
            .map_err(|error| error.to_string())
    };
    assert_eq!(register("crm", vec![handler("a"), handler("b")]), Ok(()));
    for (key, handlers, expected) in [
        ("crm", vec![handler("a")], "is registered already"),
        (
            "CRM",
            vec![handler("a")],
            "the extension key \"CRM\" must be lower-case",
        ),
        ("a", vec![], "has no handler"),
        (
            "a",
            vec![handler("x"), handler("x")],
            "two handlers with the name \"x\"",
        ),
        ("a", vec![handler("x y")], "odd characters"),
    ] {
        let error = register(key, handlers).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let crm = extensions.get("crm").unwrap();
    let key = EventKey::parse("crm.deal.closed").unwrap();
    assert_eq!(crm.handlers_of(&key).count(), 2);
    assert_eq!(crm.patterns().len(), 1, "both listen to the same");
    assert!(crm.handler("b").is_some() && crm.handler("c").is_none());
    assert_eq!(extensions.all().count(), 1);
}

#[test]
fn a_schedule_of_its_own_replaces_the_one_of_all() {
    let default = RetrySchedule::new(vec![Duration::from_secs(5)], 0.1);
    assert_eq!(handler("a").schedule(&default), None);
    let own = handler("a")
        .retry([Duration::from_secs(1)])
        .max_attempts(3)
        .schedule(&default)
        .unwrap();
    assert_eq!(own.max_attempts(), 3);
    assert_eq!(own.total(), Duration::from_secs(2));
    assert_eq!(
        handler("a")
            .max_attempts(1)
            .schedule(&default)
            .unwrap()
            .max_attempts(),
        1
    );
}

#[actix::test]
async fn publishes_of_an_attempt_are_numbered() {
    let published = Arc::new(Published::default());
    let context = context(DEAL, Arc::clone(&published) as Arc<dyn HandlerPublish>);
    context
        .publish("crm.a", serde_json::json!({"x": 1}))
        .await
        .unwrap();
    context.publish("crm.b", serde_json::json!({})).await.unwrap();
    for (key, payload) in [
        ("nodots", serde_json::json!({})),
        ("crm.a", serde_json::json!([])),
    ] {
        context.publish(key, payload).await.unwrap_err();
    }
    let published = published.0.lock().unwrap();
    assert_eq!(
        *published,
        [
            (1, "crm.a".to_owned(), r#"{"x":1}"#.to_owned()),
            (2, "crm.b".to_owned(), "{}".to_owned())
        ]
    );
}

#[test]
fn what_a_publication_says_is_checked() {
    let publication = || Publication::new("crm.a", &serde_json::json!({})).unwrap();
    assert!(publication().schema_version("1.0").unwrap().actor("me").is_ok());
    assert!(publication().schema_version("x".repeat(33)).is_err());
    let error = publication().actor("a\nb").unwrap_err();
    assert_eq!(error.to_string(), "the actor must not contain control characters");
}

struct Counter {
    total: f64,
}

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Handler<HandleEvent<DealClosed>> for Counter {
    type Result = Result<(), HandlerError>;

    fn handle(&mut self, event: HandleEvent<DealClosed>, ctx: &mut Self::Context) -> Self::Result {
        self.total += event.payload.deal.amount;
        if self.total > 6000.0 {
            ctx.stop();
            return Err(HandlerError::permanent("enough"));
        }
        Ok(())
    }
}

#[actix::test]
async fn an_actor_handles_events_until_it_has_stopped() {
    let counter = Counter { total: 0.0 }.start();
    let extension = ActorExtension::new("totals", "Totals")
        .handler("closed", "crm.deal.closed", counter.clone().recipient())
        .unwrap()
        .async_handler("closed_later", "crm.deal.*", counter.recipient())
        .unwrap();
    let handlers = Arc::new(extension).handlers();
    assert_eq!(
        handlers.iter().map(EventHandler::is_async).collect::<Vec<_>>(),
        [false, true]
    );
    let handle = || handlers[0].invoke(context(DEAL, Arc::new(Published::default())));
    assert!(handle().await.unwrap().0.is_none());
    assert_eq!(handle().await.unwrap_err().failure(), Failure::Permanent);
    let error = handle().await.unwrap_err();
    assert_eq!(error.to_string(), "the actor has stopped, or dropped the event");
    assert_eq!(error.failure(), Failure::Retry { after: None });
}

#[test]
fn an_effect_carries_its_writes_and_its_events() {
    let publication = Publication::new("crm.a", &serde_json::json!({})).unwrap();
    let effect = Effect::new(|_| Box::pin(async { Ok(()) })).and_publish(publication.clone());
    let HandlerOutcome(Some(effect)) = effect.into() else {
        panic!("an effect is an outcome")
    };
    assert!(effect.work.is_some());
    assert_eq!(effect.publications.len(), 1);
    assert!(Effect::publishing(publication).work.is_none());
}
