//! `POST /api/workspaces/{workspaceId}/events/dead-letters/{deadLetterId}/replay`

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use crate::http::{access::Caller, json, problem::Problem, state::AppState};
use pointsman_domain::id::InstallationId;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReplayDto {
    /// Another installation of the same extension; absent for the one that failed.
    extension_id: Option<InstallationId>,
}

/// Delivers a dead letter once more, to one installation only. Answers when the replay is durable; the letter's status
/// says how it went.
pub(super) async fn replay(
    state: web::Data<AppState>,
    caller: Caller,
    path: web::Path<(String, String)>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let (workspace, letter) = path.into_inner();
    let workspace = state.workspace_admin(&caller, &workspace).await?;
    let letter = state.dead_letter(workspace, &letter).await?;
    let ReplayDto { extension_id } = optional_body(&state, &request, payload).await?;
    state.router.replay(workspace, letter.id, extension_id).await?;
    Ok(json::accepted())
}

/// The body is optional here; without a body no content type is needed.
async fn optional_body(
    state: &AppState,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<ReplayDto, Problem> {
    if !announces_body(request) {
        return Ok(ReplayDto::default());
    }
    let body = state.intake.read(request, payload).await?;
    if body.is_empty() {
        return Ok(ReplayDto::default());
    }
    json::decode(&body)
}

/// RFC 9112, section 6: without either header a request has no body.
fn announces_body(request: &HttpRequest) -> bool {
    let headers = request.headers();
    let length = headers.get("content-length");
    length.is_some_and(|length| length != "0") || headers.contains_key("transfer-encoding")
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_request_without_a_body_needs_no_content_type() {
        let none = TestRequest::post().to_http_request();
        let empty = TestRequest::post().insert_header(("content-length", "0"));
        let some = TestRequest::post().insert_header(("content-length", "2"));
        let chunked = TestRequest::post().insert_header(("transfer-encoding", "chunked"));
        assert!(!announces_body(&none));
        assert!(!announces_body(&empty.to_http_request()));
        assert!(announces_body(&some.to_http_request()));
        assert!(announces_body(&chunked.to_http_request()));
    }

    #[test]
    fn the_other_installation_is_an_id() {
        let id = uuid::Uuid::nil();
        let dto: ReplayDto = json::decode(format!("{{\"extensionId\":\"{id}\"}}").as_bytes()).unwrap();
        assert_eq!(dto.extension_id, Some(InstallationId::new(id)));
        assert_eq!(json::decode::<ReplayDto>(b"{}").unwrap().extension_id, None);
        for body in [r#"{"extensionId":"crm"}"#, r#"{"extensionId":7}"#] {
            let problem = json::decode::<ReplayDto>(body.as_bytes()).unwrap_err();
            assert!(matches!(problem, Problem::ValidationFailed(errors) if errors[0].field == "extensionId"));
        }
    }
}
