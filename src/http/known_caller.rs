//! Callers whose cookie was seen before. The middleware of sessions decrypts the cookie of every request, looks its
//! session up and reads what is in it; whoever publishes thousands of events a second sends the same cookie each
//! time. What a cookie stands for never changes, so that it is remembered; whether its session still is good, and
//! whose it is, is asked each time.

use actix_web::{
    HttpMessage, HttpRequest,
    guard::GuardContext,
    http::header::{self, HeaderMap},
    web,
};
use sha2::{Digest, Sha256};

use super::{caller::Caller, state::AppState};
use pointsman_auth::sessions;

/// Whether the caller is known by the cookie; the handler finds it as its [`Caller`].
pub(super) fn is_known(context: &GuardContext<'_>) -> bool {
    let Some(state) = context.app_data::<web::Data<AppState>>() else {
        return false;
    };
    let known = cookies(context.head().headers())
        .and_then(|cookies| state.access.session_of_cookies(&digest(cookies)))
        .and_then(|session| state.access.identity(&session));
    let Some(identity) = known else { return false };
    context.req_data_mut().insert(Caller::from(identity));
    true
}

/// The caller of a request that [`is_known`] has let through.
pub(super) fn find(request: &HttpRequest) -> Option<Caller> {
    request.extensions().get::<Caller>().copied()
}

/// The cookie is good: its next request is spared the middleware.
pub(super) fn remember(request: &HttpRequest) {
    let (Some(state), Some(cookies)) = (
        request.app_data::<web::Data<AppState>>(),
        cookies(request.headers()),
    ) else {
        return;
    };
    let digest = digest(cookies);
    if state.access.session_of_cookies(&digest).is_none()
        && let Some(session) = sessions::id_in(request, &state.cookie_key)
    {
        state.access.remember_cookies(digest, session);
    }
}

/// The only header of cookies.
fn cookies(headers: &HeaderMap) -> Option<&[u8]> {
    let mut all = headers.get_all(header::COOKIE);
    let first = all.next()?;
    all.next().is_none().then(|| first.as_bytes())
}

/// What is kept of them, so that memory holds nobody's cookie.
fn digest(cookies: &[u8]) -> [u8; 32] {
    Sha256::digest(cookies).into()
}
