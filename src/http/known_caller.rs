//! Callers whose cookie was seen before. The session middleware decrypts the cookie of every request, looks up its
//! session and reads its state, although a busy publisher sends the same cookie thousands of times a second. Which
//! session a cookie names never changes, so it is remembered. Whether that session is still valid, and whose it is, is
//! checked for every request.

use actix_web::{
    HttpMessage, HttpRequest,
    guard::GuardContext,
    http::header::{self, HeaderMap},
    web,
};
use sha2::{Digest, Sha256};

use super::{caller::Caller, state::AppState};
use pointsman_auth::sessions;

/// Whether the cookie is known; the handler then gets its [`Caller`].
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

/// Remembers a valid cookie: the next request with it skips the middleware.
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

/// The `Cookie` header, if there is exactly one.
fn cookies(headers: &HeaderMap) -> Option<&[u8]> {
    let mut all = headers.get_all(header::COOKIE);
    let first = all.next()?;
    all.next().is_none().then(|| first.as_bytes())
}

/// Only this digest is kept, so that no cookie is held in memory.
fn digest(cookies: &[u8]) -> [u8; 32] {
    Sha256::digest(cookies).into()
}
