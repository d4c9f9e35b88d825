//! `POST /api/auth/login`

use actix_session::Session;
use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::dto::SignedInDto;
use crate::http::{
    json::{self, JsonBody},
    problem::Problem,
    state::AppState,
};
use pointsman_auth::{access_cache::Identity, email::Email, sessions};
use pointsman_domain::{id::UserId, role::GlobalRole};
use pointsman_store as store;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LoginDto {
    email: String,
    password: String,
}

/// Opens a session. An unknown user and a wrong password get the same answer after the same time.
pub(super) async fn login(
    state: web::Data<AppState>,
    session: Session,
    body: JsonBody<LoginDto>,
) -> Result<HttpResponse, Problem> {
    let dto = body.read().await?;
    // A text that is not an address has no user. It is not looked up, because it may hold characters that a database
    // refuses, such as NUL.
    let user = match Email::parse(&dto.email) {
        Ok(email) => store::users::find_by_email(state.router.access_reader(), email.as_str()).await?,
        Err(_) => None,
    };
    let hash = user.as_ref().map(|user| user.password_hash.clone());
    let right = state.passwords.verify(dto.password, hash).await?;
    let Some(user) = user.filter(|_| right) else {
        return Err(Problem::Unauthenticated("the email or the password is wrong"));
    };
    let role = GlobalRole::parse(&user.role)
        .ok_or_else(|| Problem::internal(format_args!("user {} has the role {}", user.id, user.role)))?;
    let id = UserId::new(user.id);
    sessions::begin(&session, Identity { user_id: id, role }).map_err(Problem::internal)?;
    Ok(json::success_with(&SignedInDto {
        id,
        email: user.email,
        role,
    }))
}
