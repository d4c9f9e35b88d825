//! An extension made with the macros.

use schemars::JsonSchema;

use super::*;

struct Crm {
    /// Each handled event, as its handler saw it.
    handled: Mutex<Vec<String>>,
}

impl Crm {
    fn new() -> Self {
        Self {
            handled: Mutex::default(),
        }
    }
}

/// Has no schema.
#[derive(Deserialize)]
struct DealLost {
    reason: String,
}

#[extension(key = "crm", name = "CRM")]
impl Crm {
    #[event_handler(event_key = "crm.deal.closed")]
    async fn deal_closed(&self, closed: DealClosed, cx: EventContext) -> Result<(), HandlerError> {
        // Its future is not `Send`.
        let deal = std::rc::Rc::new(closed.deal);
        cx.publish("platform.notification", serde_json::json!({"deal": deal.id}))
            .await?;
        self.note(format!("{} at attempt {}", deal.id, cx.attempt()));
        Ok(())
    }

    /// A synchronous `fn` that publishers do not wait for.
    #[event_handler(event_key = "crm.**", async = true, retry = "1s, 1m 30s", max_attempts = 4)]
    fn everything(&self, event: PlatformEvent) -> Result<(), HandlerError> {
        self.note(event.event_key.to_string());
        Ok(())
    }

    #[event_handler(event_key = "crm.deal.*", async = false, max_attempts = 1)]
    fn only_context(&self, cx: crate::EventContext) -> Result<(), HandlerError> {
        self.note(cx.deduplication_id().to_string());
        Ok(())
    }

    #[event_handler(event_key = "crm.deal.lost")]
    fn fails(&self, DealLost { reason }: DealLost) -> Result<(), HandlerError> {
        reason.parse::<f64>()?;
        Ok(())
    }

    #[event_handler(event_key = "crm.deal.closed")]
    async fn with_effect(&self, _: DealClosed) -> Result<Effect, PublishError> {
        let publication = Publication::new("crm.a", &serde_json::json!({}))?;
        Ok(Effect::publishing(publication))
    }

    #[event_handler(event_key = "crm.deal.closed")]
    fn r#move(&self, _: serde_json::Value) -> Result<Option<Effect>, HandlerError> {
        Ok(None)
    }

    #[cfg(any())]
    #[event_handler(event_key = "crm.never")]
    fn never(&self, _: DoesNotExist) -> Result<(), HandlerError> {}

    fn note(&self, what: String) {
        self.handled.lock().unwrap().push(what);
    }
}

fn find(handlers: &[EventHandler], name: &str) -> EventHandler {
    let found = handlers.iter().find(|handler| handler.name() == name);
    found.unwrap_or_else(|| panic!("no handler {name}")).clone()
}

fn handlers() -> Vec<EventHandler> {
    Arc::new(Crm::new()).handlers()
}

#[test]
fn handlers_are_declared_in_the_order_of_their_methods() {
    let declared: Vec<_> = handlers()
        .iter()
        .map(|handler| {
            let pattern = handler.pattern().as_str().to_owned();
            (handler.name().to_owned(), pattern, handler.is_async())
        })
        .collect();
    let expected = [
        ("deal_closed", "crm.deal.closed", false),
        ("everything", "crm.**", true),
        ("only_context", "crm.deal.*", false),
        ("fails", "crm.deal.lost", false),
        ("with_effect", "crm.deal.closed", false),
        ("move", "crm.deal.closed", false),
    ];
    assert_eq!(
        declared,
        expected.map(|(name, key, is_async)| (name.to_owned(), key.to_owned(), is_async))
    );
}

#[test]
fn an_extension_has_the_name_that_it_says_or_its_key() {
    struct Nameless;

    #[extension(key = "name-less_2.x")]
    impl Nameless {
        #[event_handler(event_key = "**")]
        fn name(&self, _: EventContext) -> Result<(), HandlerError> {
            Ok(())
        }
    }

    let crm: &dyn Extension = &Crm::new();
    assert_eq!((crm.key(), crm.name()), ("crm", "CRM"));
    let nameless: &dyn Extension = &Nameless;
    assert_eq!(
        (nameless.key(), nameless.name()),
        ("name-less_2.x", "name-less_2.x")
    );
    let mut extensions = Extensions::default();
    extensions.register(Arc::new(Crm::new())).unwrap();
    extensions.register(Arc::new(Nameless)).unwrap();
}

#[test]
fn a_schedule_of_its_own_is_declared_with_the_handler() {
    let handlers = handlers();
    let default = RetrySchedule::new(vec![Duration::from_secs(5)], 0.0);
    let schedule = |name| find(&handlers, name).schedule(&default);
    assert_eq!(schedule("deal_closed"), None);
    let own = schedule("everything").unwrap();
    let pauses = [1, 90, 90].map(Duration::from_secs).to_vec();
    assert_eq!(own, RetrySchedule::new(pauses, 0.0));
    assert_eq!(schedule("only_context").unwrap().max_attempts(), 1);
}

#[test]
fn a_payload_shows_its_schema_where_it_has_one() {
    let handlers = handlers();
    let schema = |name| find(&handlers, name).schema().cloned();
    let closed = schema("deal_closed").unwrap();
    assert_eq!(closed["title"], "DealClosed");
    assert_eq!(closed["required"], serde_json::json!(["deal"]));
    for name in ["everything", "only_context", "fails"] {
        assert_eq!(schema(name), None, "{name}");
    }
}

#[actix::test]
async fn a_handler_gets_what_it_takes() {
    let crm = Arc::new(Crm::new());
    let published = Arc::new(Published::default());
    let handlers = Arc::clone(&crm).handlers();
    for name in ["deal_closed", "everything", "only_context", "move"] {
        let context = context(DEAL, Arc::clone(&published) as Arc<dyn HandlerPublish>);
        let outcome = find(&handlers, name).invoke(context).await.unwrap();
        assert!(outcome.0.is_none(), "{name}");
    }
    assert_eq!(
        *crm.handled.lock().unwrap(),
        ["d1 at attempt 1", "crm.deal.closed", &Uuid::nil().to_string()]
    );
    let notification = (
        1,
        "platform.notification".to_owned(),
        r#"{"deal":"d1"}"#.to_owned(),
    );
    assert_eq!(*published.0.lock().unwrap(), [notification]);
}

#[actix::test]
async fn a_handler_may_return_an_effect() {
    let context = context(DEAL, Arc::new(Published::default()));
    let outcome = find(&handlers(), "with_effect").invoke(context).await.unwrap();
    assert_eq!(outcome.0.unwrap().publications.len(), 1);
}

#[actix::test]
async fn a_handlers_error_arrives_with_what_is_to_be_done() {
    let handlers = handlers();
    for (payload, failure, expected) in [
        (
            r#"{"reason":"x"}"#,
            Failure::Retry { after: None },
            "invalid float literal",
        ),
        (
            r#"{"reason":1}"#,
            Failure::InvalidPayload,
            "payload.reason: invalid type: integer `1`, expected a string",
        ),
    ] {
        let context = context(payload, Arc::new(Published::default()));
        let error = find(&handlers, "fails").invoke(context).await.unwrap_err();
        assert_eq!((error.failure(), error.to_string().as_str()), (failure, expected));
    }
}

#[actix::test]
async fn an_extension_may_be_generic_over_what_it_owns() {
    struct Sink<T, const N: usize>(Mutex<Vec<T>>);

    #[extension(key = "sink")]
    impl<T, const N: usize> Sink<T, N>
    where
        T: FromEvent + JsonSchema + Send + 'static,
    {
        #[event_handler(event_key = "crm.**")]
        fn keep(&self, payload: T) -> Result<(), HandlerError> {
            self.0.lock().unwrap().push(payload);
            Ok(())
        }
    }

    let sink = Arc::new(Sink::<DealClosed, 2>(Mutex::default()));
    let handlers = Arc::clone(&sink).handlers();
    assert_eq!(handlers[0].schema().unwrap()["title"], "DealClosed");
    let context = context(DEAL, Arc::new(Published::default()));
    handlers[0].invoke(context).await.unwrap();
    assert_eq!(sink.0.lock().unwrap()[0].deal.id, "d1");
}
