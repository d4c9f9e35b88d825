//! `POST /api/auth/logout`

use actix_session::Session;
use actix_web::HttpResponse;

use crate::http::{access::Caller, json};
use pointsman_auth::sessions;

/// Ends the session: its cookie is worth nothing after this answer, also where somebody kept a copy.
pub(super) async fn logout(_caller: Caller, session: Session) -> HttpResponse {
    sessions::end(&session);
    json::success()
}
