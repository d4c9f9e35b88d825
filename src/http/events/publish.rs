//! `POST /api/workspaces/{workspaceId}/events/publish`

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{HeaderName, HeaderValue, LOCATION},
    web,
};

use super::{
    idempotency,
    publish_body::{PublishBodyError, PublishEvent},
    traceparent,
};
use crate::http::{
    access::Caller,
    json,
    problem::{FieldError, Problem},
    state::AppState,
};
use pointsman_domain::{
    event::NewEvent,
    id::{EventId, WorkspaceId},
};

/// The id of the event that was published.
const X_EVENT_ID: HeaderName = HeaderName::from_static("x-event-id");

/// Answers when the event is durable; deliveries go on after that.
pub(super) async fn publish(
    state: web::Data<AppState>,
    caller: Caller,
    workspace: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let workspace = state.member(&caller, &workspace).await?;
    // A publish that cannot be taken is refused before its body is read.
    state.router.may_publish(workspace)?;
    let key = idempotency::key(request.headers())?;
    let body = state.intake.read(&request, payload).await?;
    let sent = PublishEvent::parse(&body)?;
    let idempotency = key.map(|key| idempotency::of(key, &body));
    // The event has its own copy of the parts that are kept.
    drop(body);
    let event = NewEvent {
        id: EventId::new(state.clock.new_uuid()),
        event_key: sent.event_key,
        schema_version: sent.schema_version,
        actor: sent.actor,
        payload: sent.payload,
        occurred_at: state.clock.wall(),
        traceparent: traceparent::read(request.headers()),
        cause: None,
    };
    let id = event.id;
    let recorded = state.router.publish(workspace, event, idempotency).await?;
    let id = recorded.event_ids.first().copied().unwrap_or(id);
    Ok(published(workspace, id, recorded.replayed))
}

fn published(workspace: WorkspaceId, event: EventId, replayed: bool) -> HttpResponse {
    let mut response = json::success();
    let headers = response.headers_mut();
    for (name, value) in [
        (X_EVENT_ID, event.to_string()),
        (LOCATION, format!("/api/workspaces/{workspace}/events/{event}")),
    ] {
        let value = HeaderValue::try_from(value).expect("ids are plain ASCII");
        headers.insert(name, value);
    }
    if replayed {
        headers.insert(idempotency::REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

impl From<PublishBodyError> for Problem {
    fn from(error: PublishBodyError) -> Self {
        match error {
            PublishBodyError::Malformed(detail) => Self::malformed_json(detail),
            PublishBodyError::Invalid(broken) => Self::validations(
                broken
                    .into_iter()
                    .map(|(field, message)| FieldError::new(field, message))
                    .collect(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn the_answer_is_exactly_success_and_says_where_the_event_is() {
        let nil = uuid::Uuid::nil();
        let response = published(WorkspaceId::new(nil), EventId::new(nil), false);
        let header = |name| response.headers().get(name).unwrap().to_str().unwrap();
        assert_eq!(header("x-event-id"), nil.to_string());
        assert_eq!(header("location"), format!("/api/workspaces/{nil}/events/{nil}"));
        assert!(!response.headers().contains_key("idempotency-replayed"));
        let body = actix_web::body::to_bytes(response.into_body()).await.unwrap();
        assert_eq!(body, r#"{"code":"SUCCESS"}"#);
        let again = published(WorkspaceId::new(nil), EventId::new(nil), true);
        assert_eq!(again.headers().get("idempotency-replayed").unwrap(), "true");
    }
}
