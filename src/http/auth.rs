//! Signing in and out.

mod login;
mod logout;
mod me;

use actix_web::web;
use serde::Serialize;

use pointsman_domain::{id::UserId, role::GlobalRole};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/api/auth/login").route(web::post().to(login::login)))
        .service(web::resource("/api/auth/logout").route(web::post().to(logout::logout)))
        .service(web::resource("/api/auth/me").route(web::get().to(me::me)));
}

/// Who is signed in.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SignedInDto {
    id: UserId,
    email: String,
    role: GlobalRole,
}
