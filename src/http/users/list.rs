//! `GET /api/users`

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::dto::UserDto;
use crate::http::{
    access::Caller,
    page::{Cursor, Limit, Query, page},
    problem::Problem,
    state::AppState,
};
use pointsman_domain::id::UserId;
use pointsman_store as store;

#[derive(Debug, Deserialize)]
pub(super) struct ListUsers {
    cursor: Option<Cursor<UserId>>,
    #[serde(default)]
    limit: Limit,
}

pub(super) async fn list(
    state: web::Data<AppState>,
    caller: Caller,
    query: Query<ListUsers>,
) -> Result<HttpResponse, Problem> {
    state.admin(&caller)?;
    let ListUsers { cursor, limit } = query.read()?;
    let after = cursor.map(|cursor| cursor.0);
    let users = store::users::list(state.router.reader(), after, limit.fetch()).await?;
    Ok(page(users, limit, |user| user.id, UserDto::from))
}
