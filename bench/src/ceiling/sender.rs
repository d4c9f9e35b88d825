//! POSTs the events that are committed, at most 64 at a time.

use std::rc::Rc;

use actix_web::http::Uri;
use anyhow::Result;
use awc::{Client, Connector};
use tokio::sync::{Mutex, mpsc};

use super::event::Event;

const IN_FLIGHT: usize = 64;

pub(super) async fn run(receiver: &str, written: mpsc::UnboundedReceiver<Event>) -> Result<()> {
    let uri: Uri = receiver.parse()?;
    let client = Client::builder()
        .connector(Connector::new().limit(IN_FLIGHT))
        .disable_timeout()
        .no_default_headers()
        .finish();
    let written = Rc::new(Mutex::new(written));
    let senders: Vec<_> = (0..IN_FLIGHT)
        .map(|_| actix_web::rt::spawn(send_all(client.clone(), uri.clone(), Rc::clone(&written))))
        .collect();
    for sender in senders {
        sender.await??;
    }
    Ok(())
}

/// Sends one event after the other.
async fn send_all(
    client: Client,
    uri: Uri,
    written: Rc<Mutex<mpsc::UnboundedReceiver<Event>>>,
) -> Result<()> {
    loop {
        let next = written.lock().await.recv().await;
        let Some(event) = next else {
            return Ok(());
        };
        let request = client
            .post(uri.clone())
            .insert_header(("webhook-id", event.id.to_string()))
            .insert_header(("content-type", "application/json"));
        let answer = request.send_body(body(&event)).await;
        let mut answer = answer.map_err(|error| anyhow::anyhow!("a delivery failed: {error}"))?;
        // A connection is used again only when its response was read.
        answer.body().await?;
    }
}

fn body(event: &Event) -> String {
    let actor = event.actor.as_deref().unwrap_or_default();
    let version = event.schema_version.as_deref().unwrap_or_default();
    format!(
        concat!(
            r#"{{"id":"{}","eventKey":"{}","schemaVersion":{:?},"tenantId":"{}","actor":{:?},"#,
            r#""payload":{},"occurredAt":{}}}"#
        ),
        event.id, event.key, version, event.workspace, actor, event.payload, event.occurred_at
    )
}
