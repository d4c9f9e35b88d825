//! Whether the server lives, and whether it can work.

use actix_web::{HttpResponse, web};

use super::{json, problem::Problem, state::AppState};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/healthz").route(web::get().to(healthz)))
        .service(web::resource("/readyz").route(web::get().to(readyz)));
}

/// 200 as long as the process answers at all.
async fn healthz() -> HttpResponse {
    json::success()
}

/// 200 when events can be accepted and delivered, else 503 with the reason.
async fn readyz(state: web::Data<AppState>) -> Result<HttpResponse, Problem> {
    state.router.readiness()?;
    Ok(json::success())
}
