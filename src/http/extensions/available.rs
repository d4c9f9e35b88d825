//! `GET /api/extensions/available`

use actix_web::{HttpResponse, web};
use serde::Serialize;

use crate::http::{access::Caller, json, problem::Problem, state::AppState};
use pointsman_extension::{EventHandler, Registered};

/// An in-process extension of this server, to be installed with its key.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AvailableDto<'a> {
    key: &'a str,
    name: &'a str,
    handlers: Vec<HandlerDto<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HandlerDto<'a> {
    name: &'a str,
    /// A key or a pattern.
    event_key: &'a str,
    /// Whether publishers go on without waiting for it.
    r#async: bool,
    /// JSON Schema; absent where the payload type has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_schema: Option<&'a serde_json::Value>,
}

impl<'a> From<&'a Registered> for AvailableDto<'a> {
    fn from(extension: &'a Registered) -> Self {
        Self {
            key: &extension.key,
            name: &extension.name,
            handlers: extension.handlers.iter().map(HandlerDto::from).collect(),
        }
    }
}

impl<'a> From<&'a EventHandler> for HandlerDto<'a> {
    fn from(handler: &'a EventHandler) -> Self {
        Self {
            name: handler.name(),
            event_key: handler.pattern().as_str(),
            r#async: handler.is_async(),
            payload_schema: handler.schema(),
        }
    }
}

/// The in-process extensions that can be installed, by key. Any signed-in user may see them; all fit on one page.
pub(super) async fn available(state: web::Data<AppState>, _: Caller) -> Result<HttpResponse, Problem> {
    let extensions: Vec<AvailableDto<'_>> = state
        .router
        .extensions()
        .all()
        .map(|extension| AvailableDto::from(&**extension))
        .collect();
    Ok(json::success_with(&extensions))
}
