//! `GET /api/workspaces/{workspaceId}/members`

use std::collections::HashMap;

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use crate::http::{
    access::Caller,
    page::{Cursor, Limit, Query, page},
    problem::Problem,
    state::AppState,
};
use pointsman_domain::{id::UserId, timestamp::Timestamp};
use pointsman_store as store;

#[derive(Debug, Deserialize)]
pub(super) struct ListMembers {
    /// When the last member of the page before joined, in milliseconds, and that member's id.
    cursor: Option<Cursor<(i64, UserId)>>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MemberDto {
    user_id: UserId,
    email: Option<String>,
    /// `ADMIN` or `MEMBER`.
    role: String,
    joined_at: Timestamp,
}

pub(super) async fn list(
    state: web::Data<AppState>,
    caller: Caller,
    path: web::Path<String>,
    query: Query<ListMembers>,
) -> Result<HttpResponse, Problem> {
    let workspace = state.workspace_admin(&caller, &path).await?;
    let ListMembers { cursor, limit } = query.read()?;
    let after = cursor.map(|Cursor((joined_at, user))| (Timestamp::from_millis(joined_at), user));
    let db = &state.router.reader_of(workspace);
    let members = store::members::list(db, workspace, after, limit.fetch()).await?;
    let users = store::users::find_many(db, members.iter().map(|member| UserId::new(member.user_id))).await?;
    let mut emails: HashMap<_, _> = users.into_iter().map(|user| (user.id, user.email)).collect();
    Ok(page(
        members,
        limit,
        |member| (member.created_at, member.user_id),
        |member| MemberDto {
            user_id: UserId::new(member.user_id),
            email: emails.remove(&member.user_id),
            role: member.role,
            joined_at: Timestamp::from_millis(member.created_at),
        },
    ))
}
