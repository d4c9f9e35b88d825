//! `POST /api/workspaces/{workspaceId}/extensions/{extensionId}/rotate-secret`

use actix_web::{HttpResponse, web};
use serde::Serialize;

use crate::http::{access::Caller, json, problem::Problem, state::AppState};
use pointsman_auth::entropy;
use pointsman_domain::{
    installation::{DeliveryType, InstallationChange},
    signing::SigningSecret,
};

/// The new secret, which is shown this once.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RotatedSecretDto {
    signing_secret: String,
}

/// Signs with a new secret from now on, and with the former beside it for 24 h.
pub(super) async fn rotate_secret(
    state: web::Data<AppState>,
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (workspace, extension) = path.into_inner();
    let workspace = state.workspace_admin(&caller, &workspace).await?;
    let installation = state.extension(workspace, &extension).await?;
    if installation.delivery_type == DeliveryType::InProcess {
        return Err(Problem::conflict("nothing is signed for an in-process extension"));
    }
    let secret = SigningSecret::from_random(entropy::bytes()).reveal();
    let change = InstallationChange::RotateSecret {
        sealed: state.sealer.seal(&secret),
    };
    state
        .router
        .change_installation(workspace, installation.id, change)
        .await?;
    Ok(json::success_with(&RotatedSecretDto {
        signing_secret: secret,
    }))
}
