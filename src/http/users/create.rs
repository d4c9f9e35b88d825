//! `POST /api/users`

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::dto::UserDto;
use crate::http::{
    access::Caller,
    json::{self, JsonBody},
    problem::Problem,
    state::AppState,
    validate::Checks,
};
use pointsman_auth::{email::Email, passwords};
use pointsman_domain::{id::UserId, role::GlobalRole};
use pointsman_router::ChangeError;
use pointsman_store::{self as store, users::NewUser};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateUserDto {
    email: String,
    password: String,
    role: GlobalRole,
}

pub(super) async fn create(
    state: web::Data<AppState>,
    caller: Caller,
    body: JsonBody<CreateUserDto>,
) -> Result<HttpResponse, Problem> {
    state.admin(&caller)?;
    let dto = body.read().await?;
    let mut checks = Checks::new();
    let email = checks.check("email", Email::parse(&dto.email));
    checks.check("password", passwords::check(&dto.password));
    checks.finish()?;
    let email = email.map(Email::into_string).unwrap_or_default();
    let user = NewUser {
        id: UserId::new(state.clock.new_uuid()),
        email,
        password_hash: state.passwords.hash(dto.password).await?,
        role: dto.role,
        created_at: state.clock.wall(),
    };
    let shown = UserDto {
        id: user.id,
        email: user.email.clone(),
        role: user.role.as_str().to_owned(),
        created_at: user.created_at,
    };
    state
        .router
        .write(move |txn| {
            Box::pin(async move {
                if store::users::find_by_email(txn, &user.email).await?.is_some() {
                    return Err(ChangeError::Conflict(
                        "there is a user with this email".to_owned(),
                    ));
                }
                Ok(store::users::insert(txn, user).await?)
            })
        })
        .await?;
    Ok(json::created(&shown))
}
