//! The bodies of what went well.

use actix_web::HttpResponse;
use serde::Serialize;

use super::{budget::ByteShare, held_body::HeldBody, problem::Problem};

#[derive(Serialize)]
struct Envelope<T> {
    code: &'static str,
    data: T,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<T> {
    code: &'static str,
    data: Vec<T>,
    next_cursor: Option<String>,
}

const SUCCESS: &str = "SUCCESS";

/// 200 with exactly `{"code":"SUCCESS"}`.
pub fn success() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(&br#"{"code":"SUCCESS"}"#[..])
}

/// 200 with `data`.
pub fn success_with(data: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok().json(Envelope { code: SUCCESS, data })
}

/// 201 with `data`.
pub fn created(data: &impl Serialize) -> HttpResponse {
    HttpResponse::Created().json(Envelope { code: SUCCESS, data })
}

/// 202 with `{"code":"SUCCESS"}`: it will be done.
pub fn accepted() -> HttpResponse {
    HttpResponse::Accepted()
        .content_type("application/json")
        .body(&br#"{"code":"SUCCESS"}"#[..])
}

/// As [`list`], for a large page: its bytes stay counted in `share` until the client has read them.
pub(super) fn held_list<T: Serialize>(
    data: Vec<T>,
    next_cursor: Option<String>,
    share: ByteShare,
) -> Result<HttpResponse, Problem> {
    let page = List {
        code: SUCCESS,
        data,
        next_cursor,
    };
    let text = serde_json::to_vec(&page).map_err(Problem::internal)?;
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .body(HeldBody::new(text, share)))
}

/// 200 with a page; `next_cursor` is absent on the last one.
pub fn list<T: Serialize>(data: Vec<T>, next_cursor: Option<String>) -> HttpResponse {
    HttpResponse::Ok().json(List {
        code: SUCCESS,
        data,
        next_cursor,
    })
}
