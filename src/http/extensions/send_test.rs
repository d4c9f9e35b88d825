//! `POST /api/workspaces/{workspaceId}/extensions/{extensionId}/test`

use actix_web::{HttpResponse, web};

use super::attempt::AttemptEndDto;
use crate::http::{access::Caller, json, problem::Problem, state::AppState};
use pointsman_clock::Clock;
use pointsman_domain::{
    event::NewEvent,
    event_key::EventKey,
    id::{EventId, UserId},
    installation::DeliveryType,
};

/// Sends a sample event to this extension alone, whatever it subscribes to, and answers with how that went.
/// A failure of the extension is an answer, not an error.
pub(super) async fn send_test(
    state: web::Data<AppState>,
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (workspace, extension) = path.into_inner();
    let workspace = state.workspace_admin(&caller, &workspace).await?;
    let installation = state.extension(workspace, &extension).await?;
    if installation.delivery_type == DeliveryType::InProcess {
        let why = "an in-process extension takes the events of its handlers only; publish one of those";
        return Err(Problem::conflict(why));
    }
    let event = sample(state.clock, caller.user_id);
    let result = state.router.send_test(workspace, installation.id, event).await?;
    Ok(json::success_with(&AttemptEndDto::from(result)))
}

fn sample(clock: Clock, sender: UserId) -> NewEvent {
    NewEvent {
        id: EventId::new(clock.new_uuid()),
        event_key: EventKey::parse("pointsman.test").expect("it has two plain segments"),
        schema_version: Some("1.0".into()),
        actor: Some(sender.to_string().into()),
        payload: r#"{"message":"A test event from Pointsman"}"#.into(),
        occurred_at: clock.wall(),
        traceparent: None,
        cause: None,
    }
}
