//! A platform with an in-process extension of its own: a CRM that announces every closed deal in the channel `deals`.
//! It does not know the chat extension: it only publishes `platform.notification`.
//!
//! `cargo run --release --example crm_platform` starts the same server as `cargo run --release`, with the CRM installed
//! in the workspace `demo`.

use std::{error::Error, process::ExitCode};

use pointsman::{
    config::Config,
    extension::{EventContext, HandlerError, event_handler, extension},
    server::{
        Server, exit,
        router::{ChangeError, Clock, NewInstallation, find_workspace},
    },
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// The payload of `crm.deal.closed`, as far as the CRM needs it.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct DealClosed {
    deal_id: String,
    /// As the publisher writes it, such as `5000.00`.
    amount: String,
    currency: String,
}

struct Crm;

#[extension(key = "crm", name = "CRM")]
impl Crm {
    /// Asynchronous: the publisher of a deal does not wait for the notification.
    #[event_handler(event_key = "crm.deal.closed", async = true)]
    async fn deal_closed(&self, deal: DealClosed, cx: EventContext) -> Result<(), HandlerError> {
        let DealClosed {
            deal_id,
            amount,
            currency,
        } = deal;
        let notification = json!({
            "channel": "deals",
            "message": format!("Deal {deal_id} closed for {amount} {currency}!"),
            "sender": "crm-bot",
        });
        // Published once, however often this handler is retried.
        cx.publish("platform.notification", notification).await?;
        Ok(())
    }
}

#[actix_web::main]
async fn main() -> ExitCode {
    exit::run(start()).await
}

async fn start() -> Result<Server, Box<dyn Error>> {
    let server = Server::builder(Config::load(None)?)
        .extension(Crm)
        .start()
        .await?;
    install_in_demo(&server).await?;
    Ok(server)
}

/// Installs the CRM. In other workspaces an admin does that, with `POST …/extensions`.
async fn install_in_demo(server: &Server) -> Result<(), Box<dyn Error>> {
    let router = server.router();
    let Some(demo) = find_workspace(router, "demo").await? else {
        return Ok(());
    };
    let Some(crm) = router.extensions().get("crm") else {
        return Ok(());
    };
    let new = NewInstallation::in_process(&crm.key, &crm.name, crm.patterns(), || Clock.new_uuid());
    match router.install(demo, new).await {
        // It was installed at an earlier start.
        Ok(_) | Err(ChangeError::Conflict(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
