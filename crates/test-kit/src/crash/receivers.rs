//! The receivers: one of each kind in each workspace, on one port.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::ServerHandle,
    web::{self, Data},
};
use bytes::Bytes;
use pointsman_clock::Clock;
use pointsman_domain::timestamp::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::watch;
use uuid::Uuid;

use super::post;

/// How a receiver takes what it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ReceiverKind {
    Good,
    /// Answers after 20 to 100 ms.
    Slow,
    /// Every third delivery is answered with 500.
    EveryThird,
    /// Never answers, until [`Receivers::recover`].
    Hanging,
}

impl ReceiverKind {
    pub(crate) const ALL: [Self; 4] = [Self::Good, Self::Slow, Self::EveryThird, Self::Hanging];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Slow => "slow",
            Self::EveryThird => "every-third",
            Self::Hanging => "hanging",
        }
    }

    /// What it subscribes to.
    pub(crate) fn pattern(self) -> &'static str {
        match self {
            Self::Good | Self::EveryThird => "crm.**",
            Self::Slow => post::DEAL_CLOSED,
            Self::Hanging => post::AUDIT_LOGGED,
        }
    }

    pub(crate) fn is_due(self, event_key: &str) -> bool {
        self.pattern() == "crm.**" || self.pattern() == event_key
    }
}

/// All receivers of a campaign. They stop when dropped.
pub(crate) struct Receivers {
    url: String,
    state: Arc<State>,
    handle: ServerHandle,
}

/// What one receiver has taken: answered with 200, whether the server has read that or not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken {
    /// The events by their number.
    pub(crate) events: HashMap<u64, LastTaken>,
    /// Repeated deliveries, by the life of the server in which their events had been taken. A life is numbered by how
    /// often the server had ended before. It may be long over: a failing service delays the repeat.
    pub(crate) repeats: BTreeMap<u32, Vec<Repeat>>,
    /// What arrived and should not have.
    pub(crate) wrong: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct LastTaken {
    pub(crate) id: Uuid,
    at: Timestamp,
    ends: u32,
}

/// A delivery of an event that had been taken before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeat {
    pub(crate) event_id: Uuid,
    /// The time at which the receiver had taken the event before.
    pub(crate) before: Timestamp,
    /// Whether both were in the same life.
    pub(crate) at_once: bool,
}

struct State {
    receivers: BTreeMap<(usize, ReceiverKind), ReceiverState>,
    /// How often the server has ended.
    ends: AtomicU32,
    recovered: AtomicBool,
    took: watch::Sender<u64>,
}

#[derive(Default)]
struct ReceiverState {
    arrivals: AtomicU64,
    taken: Mutex<Taken>,
}

impl Receivers {
    pub(crate) fn start(workspaces: usize) -> Self {
        let receivers = (0..workspaces)
            .flat_map(|workspace| ReceiverKind::ALL.map(|kind| ((workspace, kind), ReceiverState::default())))
            .collect();
        let state = Arc::new(State {
            receivers,
            ends: AtomicU32::new(0),
            recovered: AtomicBool::new(false),
            took: watch::Sender::new(0),
        });
        let shared = Data::from(Arc::clone(&state));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(shared.clone())
                .route("/{workspace}/{kind}/events", web::post().to(take))
                .route("/arrivals", web::get().to(HttpResponse::Ok))
        })
        .workers(1)
        .shutdown_timeout(1)
        .disable_signals()
        .bind(("127.0.0.1", 0))
        .expect("a free port");
        let url = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { url, state, handle }
    }

    /// The service base URL of one.
    pub(crate) fn url(&self, workspace: usize, kind: ReceiverKind) -> String {
        format!("{}/{workspace}/{}", self.url, kind.name())
    }

    /// What is taken from now on is taken in another life of the server.
    pub(crate) async fn server_ended(&self) {
        // What the server had sent by then is in socket buffers, and belongs to the life that has ended. The answering
        // thread handles all of it before the second of these two requests.
        for _ in 0..2 {
            let answer = awc::Client::new()
                .get(format!("{}/arrivals", self.url))
                .send()
                .await;
            assert!(answer.is_ok(), "the receivers answer: {answer:?}");
        }
        self.state.ends.fetch_add(1, Ordering::AcqRel);
    }

    /// Hanging receivers answer from now on.
    pub(crate) fn recover(&self) {
        self.state.recovered.store(true, Ordering::Release);
    }

    /// Waits until so many more deliveries were taken than at the first poll.
    pub(crate) async fn took_more(&self, count: u64) {
        let mut took = self.state.took.subscribe();
        let wanted = *took.borrow() + count;
        // Fails only without a sender, and the sender is ours.
        let _ = took.wait_for(|took| *took >= wanted).await;
    }

    pub(crate) fn taken(&self, workspace: usize, kind: ReceiverKind) -> Taken {
        lock(&self.state.receivers[&(workspace, kind)].taken).clone()
    }
}

impl Drop for Receivers {
    fn drop(&mut self) {
        // The command is sent by the call; the future only waits for its end.
        drop(self.handle.stop(false));
    }
}

/// A panic while the lock was held leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn take(
    state: Data<State>,
    path: web::Path<(usize, String)>,
    request: HttpRequest,
    body: Bytes,
) -> HttpResponse {
    let (workspace, name) = path.into_inner();
    let kind = ReceiverKind::ALL.into_iter().find(|kind| kind.name() == name);
    let place = kind.map(|kind| (workspace, kind));
    let Some((kind, receiver)) = place.and_then(|place| Some((place.1, state.receivers.get(&place)?))) else {
        return HttpResponse::NotFound().finish();
    };
    let arrival = receiver.arrivals.fetch_add(1, Ordering::AcqRel);
    let ends = state.ends.load(Ordering::Acquire);
    match kind {
        ReceiverKind::EveryThird if arrival % 3 == 2 => return HttpResponse::InternalServerError().finish(),
        ReceiverKind::Hanging if !state.recovered.load(Ordering::Acquire) => {
            std::future::pending::<()>().await
        }
        ReceiverKind::Slow => tokio::time::sleep(Duration::from_millis(20 + arrival % 80)).await,
        ReceiverKind::Good | ReceiverKind::EveryThird | ReceiverKind::Hanging => {}
    }
    let webhook_id = request
        .headers()
        .get("webhook-id")
        .and_then(|id| id.to_str().ok());
    lock(&receiver.taken).take(workspace, kind, webhook_id, &body, ends);
    state.took.send_modify(|took| *took += 1);
    HttpResponse::Ok().finish()
}

/// The body of a delivery, as far as it is checked.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delivered<'a> {
    id: Uuid,
    event_key: &'a str,
    actor: &'a str,
    #[serde(borrow)]
    payload: &'a RawValue,
}

impl Taken {
    fn take(
        &mut self,
        workspace: usize,
        kind: ReceiverKind,
        webhook_id: Option<&str>,
        body: &[u8],
        ends: u32,
    ) {
        let now = Clock.wall();
        let number = match check(workspace, kind, webhook_id, body) {
            Ok((number, id)) => match self.events.get_mut(&number) {
                None => {
                    self.events.insert(number, LastTaken { id, at: now, ends });
                    return;
                }
                Some(last) if last.id == id => {
                    let repeat = Repeat {
                        event_id: id,
                        before: last.at,
                        at_once: last.ends == ends,
                    };
                    // A slow receiver may take an older delivery after a newer one.
                    let life = last.ends.min(ends);
                    self.repeats.entry(life).or_default().push(repeat);
                    (last.at, last.ends) = (now, last.ends.max(ends));
                    return;
                }
                Some(last) => format!("number {number} with the ids {} and {id}", last.id),
            },
            Err(wrong) => wrong,
        };
        self.wrong.push(number);
    }
}

/// The number and the id of an event that belongs here and arrived as it was sent.
fn check(
    workspace: usize,
    kind: ReceiverKind,
    webhook_id: Option<&str>,
    body: &[u8],
) -> Result<(u64, Uuid), String> {
    let delivered: Delivered<'_> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let number = post::number_of(delivered.actor).ok_or("an actor that names no event")?;
    let id = delivered.id;
    if webhook_id != Some(id.to_string().as_str()) {
        return Err(format!("webhook-id {webhook_id:?} of event {id}"));
    }
    if post::workspace_of(number) != workspace {
        return Err(format!("event {number} in workspace {workspace}"));
    }
    if delivered.event_key != post::event_key(number) || !kind.is_due(delivered.event_key) {
        return Err(format!("event {number} as {} to {kind:?}", delivered.event_key));
    }
    if delivered.payload.get() != post::payload(number) {
        return Err(format!(
            "the payload of event {number} is {}",
            delivered.payload.get()
        ));
    }
    Ok((number, id))
}
