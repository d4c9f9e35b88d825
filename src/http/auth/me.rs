//! `GET /api/auth/me`

use actix_web::{HttpResponse, web};

use super::dto::SignedInDto;
use crate::http::{access::Caller, json, problem::Problem, state::AppState};
use pointsman_store as store;

/// Answers with the signed-in user.
pub(super) async fn me(state: web::Data<AppState>, caller: Caller) -> Result<HttpResponse, Problem> {
    let user = store::users::find(state.router.access_reader(), caller.user_id)
        .await?
        .ok_or_else(Problem::unauthenticated)?;
    Ok(json::success_with(&SignedInDto {
        id: caller.user_id,
        email: user.email,
        role: caller.role,
    }))
}
