//! `POST /api/auth/logout`

use actix_session::Session;
use actix_web::HttpResponse;

use crate::http::{access::Caller, json};
use pointsman_auth::sessions;

/// Ends the session: after this answer its cookie, and any copy of it, is no longer accepted.
pub(super) async fn logout(_caller: Caller, session: Session) -> HttpResponse {
    sessions::end(&session);
    json::success()
}
