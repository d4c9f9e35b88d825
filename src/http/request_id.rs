//! Every answer has an `X-Request-Id`, every error a problem body, and each internal error is logged once, under that
//! id.

use actix_web::{
    Error, HttpResponse, ResponseError,
    body::{BodySize, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
    middleware::Next,
};

use super::problem::Problem;
use pointsman_clock::Clock;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_ID_BYTES: usize = 128;

/// Takes over the id of the request when it has a usable one, else makes one.
pub(super) async fn layer(
    clock: Clock,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let id = given_id(&request).unwrap_or_else(|| made_id(clock));
    match next.call(request).await {
        Ok(response) => {
            let mut response = with_problem_body(response.map_into_boxed_body());
            if let Some(error) = response.response().error() {
                log_cause(&id, error);
            }
            response.headers_mut().insert(X_REQUEST_ID, id);
            Ok(response)
        }
        // Only a middleware can fail without a response. The session middleware is the only one here, and it has logged
        // the cause.
        Err(error) if error.as_error::<Problem>().is_none() => Err(EarlyProblem {
            id,
            problem: Problem::storage_unavailable(),
        }
        .into()),
        Err(error) => Err(error),
    }
}

/// Printable ASCII without white space: nothing that could forge a line of a log.
fn given_id(request: &ServiceRequest) -> Option<HeaderValue> {
    let id = request.headers().get(X_REQUEST_ID)?;
    let sane = (1..=MAX_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
    sane.then(|| id.clone())
}

fn made_id(clock: Clock) -> HeaderValue {
    let mut buffer = uuid::Uuid::encode_buffer();
    let text: &str = clock.new_uuid().hyphenated().encode_lower(&mut buffer);
    HeaderValue::from_str(text).expect("a UUID is printable ASCII")
}

/// `actix-web` answers some errors itself; this gives them a problem body.
fn with_problem_body(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let is_foreign = match response.response().error() {
        Some(error) => error.as_error::<Problem>().is_none(),
        None => response.response().body().size() == BodySize::Sized(0),
    };
    if !is_error || !is_foreign {
        return response;
    }
    let allow = response.headers().get(header::ALLOW).cloned();
    let problem = problem_for(status, response.response().error());
    let (request, _) = response.into_parts();
    let mut answer = HttpResponse::from_error(problem);
    if let Some(allow) = allow {
        answer.headers_mut().insert(header::ALLOW, allow);
    }
    ServiceResponse::new(request, answer)
}

fn problem_for(status: StatusCode, error: Option<&Error>) -> Problem {
    match status {
        StatusCode::NOT_FOUND => Problem::not_found("resource"),
        StatusCode::METHOD_NOT_ALLOWED => Problem::MethodNotAllowed,
        StatusCode::BAD_REQUEST => Problem::malformed_json("the request cannot be read"),
        _ => Problem::internal(error.map_or_else(|| status.to_string(), ToString::to_string)),
    }
}

fn log_cause(id: &HeaderValue, error: &Error) {
    if let Some(Problem::Internal { cause }) = error.as_error::<Problem>() {
        let id = id.to_str().unwrap_or_default();
        log::error!(request_id = id, cause = cause.as_str(); "a request failed");
    }
}

/// A problem that arose before there was a response for the id.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
struct EarlyProblem {
    id: HeaderValue,
    problem: Problem,
}

impl ResponseError for EarlyProblem {
    fn status_code(&self) -> StatusCode {
        self.problem.status_code()
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let mut response = self.problem.error_response();
        response.headers_mut().insert(X_REQUEST_ID, self.id.clone());
        response
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{App, HttpResponse, body::to_bytes, error, middleware::from_fn, test, web};

    use super::*;

    /// Asks an application that has this layer and little else.
    async fn ask(request: test::TestRequest) -> (HttpResponse<()>, serde_json::Value) {
        let app = App::new()
            .wrap(from_fn(|request, next| layer(Clock, request, next)))
            .service(web::resource("/get").route(web::get().to(HttpResponse::Ok)))
            .service(web::resource("/broken").to(async || Err::<&str, _>(error::ErrorImATeapot("secret"))))
            .service(
                web::resource("/early")
                    .wrap(from_fn(fail_early))
                    .to(HttpResponse::Ok),
            );
        let app = test::init_service(app).await;
        let (head, body) = match test::try_call_service(&app, request.to_request()).await {
            Ok(response) => response.into_parts().1.into_parts(),
            Err(error) => error.error_response().into_parts(),
        };
        let body = to_bytes(body).await.unwrap();
        (head, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// Fails as the middleware of sessions does when its storage fails.
    async fn fail_early(
        _: ServiceRequest,
        _: Next<impl MessageBody + 'static>,
    ) -> Result<ServiceResponse<BoxBody>, Error> {
        Err(error::ErrorInternalServerError("secret"))
    }

    fn id_in(head: &HttpResponse<()>) -> &str {
        head.headers().get("x-request-id").unwrap().to_str().unwrap()
    }

    fn get(path: &str) -> test::TestRequest {
        test::TestRequest::get().uri(path)
    }

    #[actix_web::test]
    async fn every_answer_has_an_id() {
        for path in ["/get", "/broken", "/early", "/nowhere"] {
            let (head, _) = ask(get(path)).await;
            assert_eq!(id_in(&head).len(), 36, "{path}");
        }
    }

    #[actix_web::test]
    async fn a_usable_id_is_taken_over_and_another_replaced() {
        let (head, _) = ask(get("/get").insert_header(("x-request-id", "trace-1"))).await;
        assert_eq!(id_in(&head), "trace-1");
        let long = "x".repeat(129);
        for bad in ["", "two words", long.as_str()] {
            let (head, _) = ask(get("/get").insert_header(("x-request-id", bad))).await;
            assert_eq!(id_in(&head).len(), 36, "{bad:?}");
        }
    }

    #[actix_web::test]
    async fn an_unknown_route_and_a_wrong_method_are_problems() {
        let (head, body) = ask(get("/nowhere")).await;
        assert_eq!(
            (head.status().as_u16(), &body["code"]),
            (404, &"NOT_FOUND".into())
        );
        let (head, body) = ask(test::TestRequest::post().uri("/get")).await;
        assert_eq!(
            (head.status().as_u16(), &body["code"]),
            (405, &"METHOD_NOT_ALLOWED".into())
        );
        assert_eq!(head.headers().get("allow").unwrap(), "GET");
    }

    #[actix_web::test]
    async fn errors_that_are_not_ours_become_ours_and_say_nothing() {
        let (head, body) = ask(get("/broken")).await;
        assert_eq!((head.status().as_u16(), &body["code"]), (500, &"INTERNAL".into()));
        assert!(!body.to_string().contains("secret"));
        let (head, body) = ask(get("/early")).await;
        assert_eq!(
            (head.status().as_u16(), &body["code"]),
            (503, &"STORAGE_UNAVAILABLE".into())
        );
        assert!(head.headers().contains_key("retry-after"));
    }
}
