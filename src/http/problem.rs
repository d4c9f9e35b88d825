//! Everything that can go wrong, as RFC 9457 bodies with our `code`. Domain errors become problems here and
//! nowhere else.

mod from;

use std::borrow::Cow;

use actix_web::{
    HttpResponse, ResponseError,
    body::BoxBody,
    http::{StatusCode, header},
};
use serde::Serialize;

/// The answer to a request that is not done. Handlers return it as their error.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The body is no JSON, is cut short, or has a field twice.
    #[error("{0}")]
    MalformedJson(Cow<'static, str>),
    #[error("{}", summary(.0))]
    ValidationFailed(Vec<FieldError>),
    #[error("{0}")]
    Unauthenticated(&'static str),
    #[error("you may not do this")]
    Forbidden,
    #[error("{0} not found")]
    NotFound(&'static str),
    #[error("this resource does not take this method")]
    MethodNotAllowed,
    #[error("{0}")]
    Conflict(Cow<'static, str>),
    /// The first publish under the key is still under way.
    #[error("a publish under this Idempotency-Key is in progress; try again shortly")]
    IdempotencyKeyInUse,
    /// The key names a publish with another body.
    #[error("this Idempotency-Key was used with another body within the last 24 h; take a new one")]
    IdempotencyKeyReused,
    #[error("the body is larger than {limit} bytes")]
    PayloadTooLarge { limit: usize },
    #[error("the body must be sent as Content-Type: application/json, without Content-Encoding")]
    UnsupportedMediaType,
    #[error("too many such requests at once; try again later")]
    RateLimited,
    #[error("{0}")]
    Overloaded(Cow<'static, str>),
    #[error("{0}")]
    StorageUnavailable(Cow<'static, str>),
    /// The cause is for the log; the body says nothing of it.
    #[error("something went wrong here; the log has it under the request id")]
    Internal { cause: String },
}

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The path of the field in the body (`filter.since`), or the name of the query parameter.
    pub field: Cow<'static, str>,
    pub message: Cow<'static, str>,
}

impl FieldError {
    pub fn new(field: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

impl Problem {
    pub fn malformed_json(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::MalformedJson(detail.into())
    }

    /// One field is wrong.
    pub fn validation(field: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self::ValidationFailed(vec![FieldError::new(field, message)])
    }

    /// Several fields are wrong.
    pub fn validations(errors: Vec<FieldError>) -> Self {
        Self::ValidationFailed(errors)
    }

    /// No credentials, or bad ones.
    pub fn unauthenticated() -> Self {
        Self::Unauthenticated("sign in first: POST /api/auth/login")
    }

    pub fn forbidden() -> Self {
        Self::Forbidden
    }

    /// `what` is the kind of thing, `workspace`; never the id that was asked for.
    pub fn not_found(what: &'static str) -> Self {
        Self::NotFound(what)
    }

    pub fn conflict(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Conflict(detail.into())
    }

    /// `limit` in bytes.
    pub fn payload_too_large(limit: usize) -> Self {
        Self::PayloadTooLarge { limit }
    }

    pub fn unsupported_media_type() -> Self {
        Self::UnsupportedMediaType
    }

    pub fn rate_limited() -> Self {
        Self::RateLimited
    }

    pub fn overloaded() -> Self {
        Self::Overloaded("too many events are on their way into the log; try again shortly".into())
    }

    /// Too many large answers are waiting for their clients to read them.
    pub fn too_many_pages() -> Self {
        Self::Overloaded("too many large pages are on their way to clients; try again shortly".into())
    }

    /// The limit of connections is reached.
    pub fn too_many_connections() -> Self {
        Self::Overloaded("too many connections are open; try again shortly".into())
    }

    pub fn storage_unavailable() -> Self {
        Self::StorageUnavailable(
            "the database cannot be reached, or its disk is nearly full; try again later. What was asked may have \
             been recorded"
                .into(),
        )
    }

    /// The server is stopping and takes no more requests.
    pub fn shutting_down() -> Self {
        Self::Overloaded("the server is shutting down; try again shortly".into())
    }

    /// Too many bodies are arriving at the same time.
    pub fn too_many_bodies() -> Self {
        Self::Overloaded("too many request bodies are arriving; try again shortly".into())
    }

    /// `cause` is logged with the request id and is not shown to clients.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        Self::Internal {
            cause: cause.to_string(),
        }
    }

    /// The machine-readable code, from a closed list.
    pub fn code(&self) -> &'static str {
        self.kind().0
    }

    fn kind(&self) -> (&'static str, StatusCode) {
        match self {
            Self::MalformedJson(_) => ("MALFORMED_JSON", StatusCode::BAD_REQUEST),
            Self::ValidationFailed(_) => ("VALIDATION_FAILED", StatusCode::BAD_REQUEST),
            Self::Unauthenticated(_) => ("UNAUTHENTICATED", StatusCode::UNAUTHORIZED),
            Self::Forbidden => ("FORBIDDEN", StatusCode::FORBIDDEN),
            Self::NotFound(_) => ("NOT_FOUND", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed => ("METHOD_NOT_ALLOWED", StatusCode::METHOD_NOT_ALLOWED),
            Self::Conflict(_) => ("CONFLICT", StatusCode::CONFLICT),
            Self::IdempotencyKeyInUse => ("IDEMPOTENCY_KEY_IN_USE", StatusCode::CONFLICT),
            Self::IdempotencyKeyReused => ("IDEMPOTENCY_KEY_REUSED", StatusCode::UNPROCESSABLE_ENTITY),
            Self::PayloadTooLarge { .. } => ("PAYLOAD_TOO_LARGE", StatusCode::PAYLOAD_TOO_LARGE),
            Self::UnsupportedMediaType => ("UNSUPPORTED_MEDIA_TYPE", StatusCode::UNSUPPORTED_MEDIA_TYPE),
            Self::RateLimited => ("RATE_LIMITED", StatusCode::TOO_MANY_REQUESTS),
            Self::Overloaded(_) => ("OVERLOADED", StatusCode::SERVICE_UNAVAILABLE),
            Self::StorageUnavailable(_) => ("STORAGE_UNAVAILABLE", StatusCode::SERVICE_UNAVAILABLE),
            Self::Internal { .. } => ("INTERNAL", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// Seconds after which another try makes sense.
    fn retry_after(&self) -> Option<&'static str> {
        match self {
            Self::RateLimited | Self::Overloaded(_) | Self::IdempotencyKeyInUse => Some("1"),
            Self::StorageUnavailable(_) => Some("5"),
            _ => None,
        }
    }

    /// The body of the answer.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(&self.body()).expect("a problem has only texts and numbers")
    }

    fn body(&self) -> Body<'_> {
        let (code, status) = self.kind();
        Body {
            r#type: format!(
                "urn:pointsman:problem:{}",
                code.to_ascii_lowercase().replace('_', "-")
            ),
            title: status.canonical_reason().unwrap_or(code),
            status: status.as_u16(),
            detail: self.to_string(),
            code,
            errors: match self {
                Self::ValidationFailed(errors) => Some(errors),
                _ => None,
            },
        }
    }
}

/// RFC 9457, with two members of ours: `code` and `errors`.
#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: String,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<&'a [FieldError]>,
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.kind().1
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let mut response = HttpResponse::build(self.status_code());
        if let Some(seconds) = self.retry_after() {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        response
            .content_type("application/problem+json")
            .body(self.to_json())
    }
}

/// `email: must be …; role: missing`.
fn summary(errors: &[FieldError]) -> String {
    let parts: Vec<String> = errors
        .iter()
        .map(|error| format!("{}: {}", error.field, error.message))
        .collect();
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;

    use super::*;

    async fn answer(problem: Problem) -> (HttpResponse<()>, serde_json::Value) {
        let (head, body) = problem.error_response().into_parts();
        let body = to_bytes(body).await.unwrap();
        (head, serde_json::from_slice(&body).unwrap())
    }

    #[actix_web::test]
    async fn a_validation_problem_names_each_field() {
        let (head, body) = answer(Problem::validations(vec![
            FieldError::new("email", "must be an address"),
            FieldError::new("role", "missing"),
        ]))
        .await;
        assert_eq!(head.status(), 400);
        assert_eq!(
            head.headers().get("content-type").unwrap(),
            "application/problem+json"
        );
        assert_eq!(
            body,
            serde_json::json!({
                "type": "urn:pointsman:problem:validation-failed",
                "title": "Bad Request",
                "status": 400,
                "detail": "email: must be an address; role: missing",
                "code": "VALIDATION_FAILED",
                "errors": [
                    {"field": "email", "message": "must be an address"},
                    {"field": "role", "message": "missing"},
                ],
            })
        );
    }

    #[actix_web::test]
    async fn an_internal_problem_keeps_its_cause_to_itself() {
        let (head, body) = answer(Problem::internal("UNIQUE constraint failed: platform_user.email")).await;
        assert_eq!(head.status(), 500);
        assert_eq!(body["code"], "INTERNAL");
        assert!(!body.to_string().contains("platform_user"));
        assert!(body.get("errors").is_none());
    }

    #[actix_web::test]
    async fn a_problem_that_passes_says_when_to_try_again() {
        for problem in [
            Problem::overloaded(),
            Problem::shutting_down(),
            Problem::IdempotencyKeyInUse,
            Problem::rate_limited(),
            Problem::storage_unavailable(),
        ] {
            let (head, _) = answer(problem).await;
            assert!(head.headers().contains_key("retry-after"));
        }
    }
}
