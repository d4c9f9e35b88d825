//! The ceiling: a minimal durable event router, made of the same crates as Pointsman. It parses an event, commits it
//! with all others that wait, answers, and POSTs it to one receiver. It has no access control, no subscriptions, no
//! signatures, no cursors, no history and no retries. It is no design; Pointsman is compared with it.

mod event;
mod journal;
mod sender;

use std::{borrow::Cow, time::Duration};

use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::{Context as _, Result};
use pointsman_clock::Clock;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use self::event::{Event, PendingPublish};

/// The first argument that starts this program as the ceiling. The URLs of a database and of the receiver follow.
pub(crate) const COMMAND: &str = "serve-ceiling";

/// The body of a publish.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Published<'a> {
    #[serde(borrow)]
    event_key: Cow<'a, str>,
    #[serde(borrow)]
    schema_version: Option<Cow<'a, str>>,
    #[serde(borrow)]
    actor: Option<Cow<'a, str>>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

pub(crate) fn run(mut arguments: impl Iterator<Item = String>) -> Result<()> {
    let database = arguments.next().context("a database is missing")?;
    let receiver = arguments.next().context("a receiver is missing")?;
    let (published, to_write) = mpsc::unbounded_channel();
    let (written, to_send) = mpsc::unbounded_channel();
    spawn("journal", move || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(journal::run(&database, to_write, &written))
    })?;
    spawn("sender", move || {
        actix_web::rt::System::new().block_on(sender::run(&receiver, to_send))
    })?;
    actix_web::rt::System::new().block_on(serve(published))
}

/// Runs a part of the ceiling on a thread of its own. The process ends when one of its parts ends.
fn spawn(name: &str, run: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        if let Err(error) = run() {
            crate::failure::failed(&error);
        }
        std::process::exit(1);
    })?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the bench waits for this line")]
async fn serve(journal: mpsc::UnboundedSender<PendingPublish>) -> Result<()> {
    let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let server = HttpServer::new(move || {
        App::new().app_data(web::Data::new(journal.clone())).route(
            "/api/workspaces/{workspace}/events/publish",
            web::post().to(publish),
        )
    })
    .workers(workers)
    .keep_alive(Duration::from_secs(75))
    .bind("127.0.0.1:0")?;
    let address = server
        .addrs()
        .first()
        .copied()
        .context("the ceiling has no address")?;
    println!("The ceiling listens on http://{address}");
    server.run().await?;
    Ok(())
}

async fn publish(
    workspace: web::Path<Uuid>,
    body: web::Bytes,
    journal: web::Data<mpsc::UnboundedSender<PendingPublish>>,
) -> HttpResponse {
    let Ok(published) = serde_json::from_slice::<Published<'_>>(&body) else {
        return HttpResponse::BadRequest().finish();
    };
    let (acknowledge, acknowledged) = oneshot::channel();
    let event = Event {
        id: Clock.new_uuid(),
        workspace: *workspace,
        key: published.event_key.into_owned(),
        schema_version: published.schema_version.map(Cow::into_owned),
        actor: published.actor.map(Cow::into_owned),
        payload: published.payload.get().to_owned(),
        occurred_at: Clock.wall().millis(),
    };
    let sent = journal.send(PendingPublish { event, acknowledge });
    if sent.is_err() || acknowledged.await.is_err() {
        return HttpResponse::ServiceUnavailable().finish();
    }
    HttpResponse::Ok()
        .content_type("application/json")
        .body(r#"{"code":"SUCCESS"}"#)
}
