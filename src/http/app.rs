//! The application: its layers and its routes.

use actix_session::{
    SessionMiddleware,
    config::{CookieContentSecurity, PersistentSession},
};
use actix_web::{
    App, Error, HttpResponse,
    body::BoxBody,
    cookie::{SameSite, time},
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    middleware::from_fn,
    web,
};

use super::{
    auth, channels, connections, dead_letters, events, extensions, head, health, members, problem::Problem,
    request_id, state::AppState, storage, subscriptions, users, workspaces,
};
use pointsman_auth::sessions::{COOKIE_NAME, DatabaseSessions};

/// One worker's application. From the outside in: HEAD as GET, the phase of the connection, request ids and problem
/// bodies, then (not for the health routes) sessions, then the routes.
pub fn app(
    state: web::Data<AppState>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<BoxBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let clock = state.clock;
    let sessions = sessions(&state);
    App::new()
        .app_data(state)
        .wrap(from_fn(move |request, next| {
            request_id::layer(clock, request, next)
        }))
        .wrap(from_fn(connections::layer))
        .wrap(from_fn(head::layer))
        .configure(events::publish_route_of_known_callers)
        .configure(health::routes)
        .service(
            web::scope("")
                .wrap(sessions)
                .configure(routes)
                .default_service(web::to(unknown_route)),
        )
}

/// Every route that may need a session. Paths are written in full, so that searching for one finds it.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .configure(events::publish_route)
        .configure(auth::routes)
        .configure(users::routes)
        .configure(storage::routes)
        .configure(workspaces::routes)
        .configure(members::routes)
        .configure(extensions::routes)
        .configure(subscriptions::routes)
        .configure(channels::routes)
        .configure(dead_letters::routes)
        .configure(events::routes);
}

async fn unknown_route() -> Result<HttpResponse, Problem> {
    Err(Problem::not_found("resource"))
}

fn sessions(state: &AppState) -> SessionMiddleware<DatabaseSessions> {
    let store = DatabaseSessions::new(state.router.clone(), state.access.clone(), state.clock);
    let ttl = time::Duration::try_from(state.settings.session_ttl).unwrap_or(time::Duration::MAX);
    SessionMiddleware::builder(store, state.cookie_key.clone())
        .cookie_name(COOKIE_NAME.to_owned())
        .cookie_path("/".to_owned())
        .cookie_http_only(true)
        .cookie_same_site(SameSite::Lax)
        .cookie_secure(state.settings.secure_cookies)
        .cookie_content_security(CookieContentSecurity::Private)
        // The time to live is only extended with a change of the state, so that a plain request writes
        // nothing.
        .session_lifecycle(PersistentSession::default().session_ttl(ttl))
        .build()
}
