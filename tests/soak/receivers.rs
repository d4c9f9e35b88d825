//! The services: one that takes everything, and one that fails as the numbers of its events say.

use std::sync::{Arc, Mutex, PoisonError};

use actix_web::{
    App, HttpResponse, HttpServer,
    dev::ServerHandle,
    web::{self, Data},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    event::{Event, Fate},
    numbers::Numbers,
};

/// What the services were sent.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) by_good: Numbers,
    pub(crate) by_failing: Numbers,
    /// Events whose first attempt the failing service has refused.
    refused_once: Numbers,
    /// The first delivery that was not as its event was published.
    wrong: Mutex<Option<String>>,
}

impl Taken {
    pub(crate) fn wrong(&self) -> Option<String> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Both services. They stop when dropped.
pub(crate) struct Receivers {
    pub(crate) taken: Arc<Taken>,
    url: String,
    handle: ServerHandle,
}

impl Receivers {
    pub(crate) fn start() -> Self {
        let taken = Arc::<Taken>::default();
        let shared = Data::from(Arc::clone(&taken));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(shared.clone())
                .route("/{service}/{workspace}/events", web::post().to(take))
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
        Self { taken, url, handle }
    }

    /// The service base URL of the one for this workspace.
    pub(crate) fn url(&self, service: &str, workspace: u64) -> String {
        format!("{}/{service}/{workspace}", self.url)
    }
}

impl Drop for Receivers {
    fn drop(&mut self) {
        // The command is sent by the call; the future only waits for its end.
        drop(self.handle.stop(false));
    }
}

/// The body of a delivery, as far as it is checked.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delivered<'a> {
    event_key: &'a str,
    actor: &'a str,
    #[serde(borrow)]
    payload: &'a RawValue,
}

async fn take(taken: Data<Taken>, path: web::Path<(String, usize)>, body: Bytes) -> HttpResponse {
    let (service, workspace) = path.into_inner();
    let event = match check(workspace, &body) {
        Ok(event) => event,
        Err(wrong) => {
            let mut first = taken.wrong.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(wrong);
            return HttpResponse::Ok().finish();
        }
    };
    if service == "good" {
        taken.by_good.insert(event.0);
        return HttpResponse::Ok().finish();
    }
    let fails = match event.fate() {
        Some(Fate::Refused) => true,
        Some(Fate::TakenAgain) => taken.refused_once.insert(event.0),
        Some(Fate::Taken) | None => false,
    };
    if fails {
        return HttpResponse::InternalServerError().finish();
    }
    taken.by_failing.insert(event.0);
    HttpResponse::Ok().finish()
}

/// The event, where it belongs here and arrived as it was sent.
fn check(workspace: usize, body: &[u8]) -> Result<Event, String> {
    let delivered: Delivered<'_> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let event = Event::of_actor(delivered.actor).ok_or("an actor that names no event")?;
    let is_as_sent = event.workspace() == workspace
        && event.key() == delivered.event_key
        && event.payload() == delivered.payload.get();
    if is_as_sent {
        Ok(event)
    } else {
        Err(format!(
            "event {} in workspace {workspace}: {} {}",
            event.0,
            delivered.event_key,
            delivered.payload.get()
        ))
    }
}
