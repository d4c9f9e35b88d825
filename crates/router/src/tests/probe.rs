//! An in-process extension that does what the payload says, and remembers it.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use futures_util::FutureExt;
use serde::Deserialize;
use tokio::sync::{Notify, watch};

use super::kit::Running;
use crate::RouterSettings;
use pointsman_clock::Clock;
use pointsman_domain::{
    event::NewEvent,
    event_key::EventKey,
    id::{EventId, InstallationId, WorkspaceId},
    installation::NewInstallation,
};
use pointsman_extension::{
    Effect, EventContext, EventHandler, Extension, Extensions, FromEvent, HandlerError, HandlerOutcome,
    Publication,
};

/// What a handler is to do, and how often it has been called, in one workspace.
#[derive(Default)]
pub(super) struct Notes {
    calls: watch::Sender<Vec<Call>>,
    /// Opens the gate for one that waits at it.
    pub(super) gate: Notify,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) handler: &'static str,
    pub(super) event: EventId,
    pub(super) attempt: u32,
    pub(super) deduplication: uuid::Uuid,
}

static NOTES: LazyLock<Mutex<HashMap<WorkspaceId, Arc<Notes>>>> = LazyLock::new(Mutex::default);

pub(super) fn notes(workspace: WorkspaceId) -> Arc<Notes> {
    Arc::clone(NOTES.lock().unwrap().entry(workspace).or_default())
}

impl Notes {
    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.borrow().clone()
    }

    /// Of that handler, so many.
    pub(super) async fn called(&self, handler: &str, count: usize) -> Vec<Call> {
        let of = |calls: &[Call]| -> Vec<Call> {
            calls
                .iter()
                .filter(|call| call.handler == handler)
                .cloned()
                .collect()
        };
        let mut calls = self.calls.subscribe();
        let enough = calls.wait_for(|calls| of(calls).len() >= count);
        let calls = tokio::time::timeout(Duration::from_secs(30), enough).await;
        of(&calls.expect("the handler is called").expect("the notes last"))
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Order {
    #[serde(rename = "do")]
    pub(super) deed: String,
}

/// With all its handlers, or as it was when it had one.
struct Probe {
    is_new: bool,
}

impl Extension for Probe {
    fn key(&self) -> &str {
        "probe"
    }

    fn name(&self) -> &str {
        "Probe"
    }

    fn handlers(self: Arc<Self>) -> Vec<EventHandler> {
        if !self.is_new {
            return vec![handler("on_sync", "probe.sync")];
        }
        vec![
            handler("on_sync", "probe.sync"),
            handler("on_async", "probe.async").asynchronous(),
            handler("first", "probe.both"),
            handler("second", "probe.both.*").asynchronous(),
            handler("second_of_both", "probe.both").asynchronous(),
            handler("impatient", "probe.impatient")
                .retry([Duration::from_millis(1)])
                .max_attempts(2),
        ]
    }
}

fn handler(name: &'static str, key: &str) -> EventHandler {
    EventHandler::new(name, key, move |context| {
        async move {
            note(name, &context);
            let order = Order::from_event(context.event())?;
            execute(name, &order.deed, context).await
        }
        .boxed_local()
    })
    .unwrap()
}

fn note(handler: &'static str, context: &EventContext) {
    notes(context.workspace_id()).calls.send_modify(|calls| {
        calls.push(Call {
            handler,
            event: context.event().id,
            attempt: context.attempt(),
            deduplication: context.deduplication_id(),
        });
    });
}

async fn execute(name: &str, deed: &str, context: EventContext) -> Result<HandlerOutcome, HandlerError> {
    // `second:fail` is for the handlers whose name begins so.
    let deed = match deed.split_once(':') {
        Some((who, deed)) if name.starts_with(who) => deed,
        Some(_) => "nothing",
        None => deed,
    };
    match deed {
        "nothing" => {}
        "fail" => return Err(HandlerError::new("it is refused")),
        "fail_once" if context.attempt() == 1 => return Err(HandlerError::new("not yet")),
        "fail_for_ever" => return Err(HandlerError::permanent("it can never be")),
        "fail_with_nul" => return Err(HandlerError::new("a\0b")),
        "panic" => panic!("the probe panics"),
        "panic_with_nul" => panic!("a\0b"),
        "hang" => std::future::pending::<()>().await,
        "wait" => notes(context.workspace_id()).gate.notified().await,
        "wait_and_publish" => {
            notes(context.workspace_id()).gate.notified().await;
            context
                .publish("probe.async", serde_json::json!({"do": "nothing"}))
                .await?;
        }
        "wait_and_effect" => {
            notes(context.workspace_id()).gate.notified().await;
            let effect = Effect::new(|_| async { Ok(()) }.boxed());
            let event = Publication::new("probe.done", &serde_json::json!({}))?;
            note("effect", &context);
            return Ok(effect.and_publish(event).into());
        }
        "publish_and_fail_once" => {
            for number in 0..2 {
                let payload = serde_json::json!({"do": "nothing", "number": number});
                context.publish("probe.async", payload).await?;
            }
            if context.attempt() == 1 {
                return Err(HandlerError::new("after it has published"));
            }
        }
        "again" => {
            let key = context.event().event_key.as_str().to_owned();
            context.publish(&key, serde_json::json!({"do": "again"})).await?;
        }
        _ => {}
    }
    Ok(().into())
}

/// A router with the probe.
pub(super) fn with_probe(settings: &mut RouterSettings) {
    let mut extensions = Extensions::default();
    extensions.register(Arc::new(Probe { is_new: true })).unwrap();
    settings.in_process.extensions = Arc::new(extensions);
    // So long that no test depends on the speed of its machine.
    settings.in_process.sync_timeout = Duration::from_secs(60);
}

/// A router of an earlier version, whose probe has one handler.
pub(super) fn with_old_probe(settings: &mut RouterSettings) {
    let mut extensions = Extensions::default();
    extensions.register(Arc::new(Probe { is_new: false })).unwrap();
    settings.in_process.extensions = Arc::new(extensions);
}

/// One that does not try again.
pub(super) fn with_probe_once(settings: &mut RouterSettings) {
    with_probe(settings);
    settings.schedule = settings.schedule.with_delays(Vec::new());
}

/// One whose handlers have little time, where a test is about that.
pub(super) fn with_hurried_probe(settings: &mut RouterSettings) {
    with_probe_once(settings);
    settings.in_process.sync_timeout = Duration::from_millis(200);
    settings.in_process.async_timeout = Duration::from_millis(200);
}

impl Running {
    /// A workspace of its own in which the probe is installed.
    pub(super) async fn probed(&self) -> (WorkspaceId, InstallationId) {
        let workspace = self.workspace();
        let extensions = self.router.extensions();
        let probe = extensions.get("probe").unwrap();
        let new = NewInstallation::in_process("probe", "Probe", probe.patterns(), || Clock.new_uuid());
        let id = new.id;
        self.router.install(workspace, new).await.unwrap();
        (workspace, id)
    }

    pub(super) async fn order(&self, workspace: WorkspaceId, key: &str, deed: &str) -> EventId {
        let payload = serde_json::json!({ "do": deed }).to_string();
        self.publish_payload(workspace, key, &payload).await
    }

    pub(super) async fn publish_payload(&self, workspace: WorkspaceId, key: &str, payload: &str) -> EventId {
        let event = NewEvent {
            event_key: EventKey::parse(key).unwrap(),
            payload: payload.into(),
            ..super::kit::new_event()
        };
        let id = event.id;
        self.router.publish(workspace, event, None).await.unwrap();
        id
    }
}
