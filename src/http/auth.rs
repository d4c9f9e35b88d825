//! Signing in and out.

mod dto;
mod login;
mod logout;
mod me;

use actix_web::web;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/api/auth/login").route(web::post().to(login::login)))
        .service(web::resource("/api/auth/logout").route(web::post().to(logout::logout)))
        .service(web::resource("/api/auth/me").route(web::get().to(me::me)));
}
