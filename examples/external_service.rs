//! An external service in Rust. It takes events at `POST /events`, verifies their signature, and remembers their ids,
//! because an event may be delivered more than once.
//!
//! Install it with `http://127.0.0.1:9000` as its `serviceBaseUrl`, and run
//! `cargo run --example external_service whsec_… [PORT]` with the secret that the answer shows.

use std::{collections::HashSet, io, process::ExitCode, sync::Mutex, time::UNIX_EPOCH};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::Sha256;

/// The members of the body that are used. The body has more.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    id: String,
    event_key: String,
    payload: serde_json::Value,
}

struct Service {
    secret: Vec<u8>,
    /// A real service keeps these with its own data, in the transaction that acts on the event.
    seen: Mutex<HashSet<String>>,
}

/// How far the clocks may differ, in seconds. Without a bound, somebody could send an old request again.
const TOLERANCE: u64 = 300;

impl Service {
    /// Standard Webhooks 1.0: the header has `v1,` and the HMAC-SHA-256 of `id.timestamp.body` for each secret in use.
    fn is_signed(&self, request: &HttpRequest, body: &[u8]) -> bool {
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        let (Some(id), Some(timestamp), Some(signatures)) = (
            header("webhook-id"),
            header("webhook-timestamp"),
            header("webhook-signature"),
        ) else {
            return false;
        };
        // A clock that is before 1970 makes every request late.
        let now = UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs());
        let is_late = |sent: u64| now.abs_diff(sent) > TOLERANCE;
        if timestamp.parse().map_or(true, is_late) {
            return false;
        }
        let keyed = Hmac::<Sha256>::new_from_slice(&self.secret).expect("every length is a key");
        let keyed = keyed
            .chain_update(format!("{id}.{timestamp}."))
            .chain_update(body);
        let mut signatures = signatures.split(' ').filter_map(|one| one.strip_prefix("v1,"));
        signatures.any(|one| {
            let sent = BASE64_STANDARD.decode(one).unwrap_or_default();
            // In constant time.
            keyed.clone().verify_slice(&sent).is_ok()
        })
    }
}

#[expect(
    clippy::print_stdout,
    reason = "this is all that the example does with an event"
)]
async fn take(service: web::Data<Service>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    // The signature is over the bytes as they were sent: verify before parsing.
    if !service.is_signed(&request, &body) {
        return HttpResponse::Unauthorized().finish();
    }
    let Ok(event) = serde_json::from_slice::<Event>(&body) else {
        // 410, because the next attempt would send the same bytes.
        return HttpResponse::Gone().finish();
    };
    let is_new = service
        .seen
        .lock()
        .is_ok_and(|mut seen| seen.insert(event.id.clone()));
    if is_new {
        println!("{} {} {}", event.id, event.event_key, event.payload);
    }
    HttpResponse::NoContent().finish()
}

#[expect(
    clippy::print_stderr,
    reason = "one clear line for the person at the terminal"
)]
#[actix_web::main]
async fn main() -> ExitCode {
    let Some((secret, port)) = arguments() else {
        eprintln!("usage: external_service whsec_… [PORT]");
        return ExitCode::from(2);
    };
    match serve(secret, port).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("external_service: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The secret and the port; `None` where they are missing or have another form.
fn arguments() -> Option<(Vec<u8>, u16)> {
    let mut arguments = std::env::args().skip(1);
    let secret = arguments.next()?;
    let secret = BASE64_STANDARD.decode(secret.trim_start_matches("whsec_")).ok()?;
    let port = arguments.next().map_or(Ok(9000), |port| port.parse()).ok()?;
    Some((secret, port))
}

#[expect(
    clippy::print_stdout,
    reason = "where it can be reached is for the person at the terminal"
)]
async fn serve(secret: Vec<u8>, port: u16) -> io::Result<()> {
    let service = web::Data::new(Service {
        secret,
        seen: Mutex::default(),
    });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(service.clone())
            .route("/events", web::post().to(take))
    })
    .bind(("127.0.0.1", port))?;
    for address in server.addrs() {
        println!("Receiving events at http://{address}/events");
    }
    server.run().await
}
