//! HEAD, wherever there is GET: routed, decided and answered as GET, with the same status and headers, and without
//! the body.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{
    Error,
    body::{BodySize, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{self, HeaderValue},
    },
    middleware::Next,
};
use bytes::Bytes;

/// The outermost layer: nothing within it sees a HEAD.
pub(super) async fn layer(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let is_head = request.method() == Method::HEAD;
    if is_head {
        request.head_mut().method = Method::GET;
    }
    let mut response = next.call(request).await?;
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        allow_head(response.headers_mut());
    }
    Ok(match is_head {
        true => response.map_body(|_, body| NoBody(body.size()).boxed()),
        false => response.map_into_boxed_body(),
    })
}

/// What allows GET allows HEAD, and each method is named once.
fn allow_head(headers: &mut header::HeaderMap) {
    let allow = headers.get(header::ALLOW).and_then(|allow| allow.to_str().ok());
    let mut methods: Vec<&str> = Vec::new();
    for method in allow.unwrap_or_default().split(", ") {
        if !methods.contains(&method) {
            methods.push(method);
        }
        if method == "GET" && !methods.contains(&"HEAD") {
            methods.push("HEAD");
        }
    }
    if let Ok(allow) = HeaderValue::from_str(&methods.join(", "))
        && !allow.is_empty()
    {
        headers.insert(header::ALLOW, allow);
    }
}

/// An empty body that reports the length of the body of GET. In an answer to HEAD, the codec of the connection writes
/// this length and no body.
struct NoBody(BodySize);

impl MessageBody for NoBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        self.0
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{App, HttpResponse, body::to_bytes, guard, middleware::from_fn, test, web};

    use super::*;

    async fn ask(method: Method, path: &str) -> ServiceResponse<BoxBody> {
        let app = App::new()
            .wrap(from_fn(layer))
            .service(
                web::resource("/both")
                    .route(web::get().to(async || HttpResponse::Ok().body("text")))
                    .route(web::put().to(HttpResponse::Ok)),
            )
            .service(
                web::resource("/other")
                    .route(web::post().guard(guard::Header("a", "b")).to(HttpResponse::Ok))
                    .route(web::post().to(HttpResponse::Ok)),
            );
        let app = test::init_service(app).await;
        let request = test::TestRequest::with_uri(path).method(method).to_request();
        test::call_service(&app, request).await
    }

    #[actix_web::test]
    async fn it_is_answered_as_get_with_the_length_of_a_body_that_is_not_there() {
        let head = ask(Method::HEAD, "/both").await;
        assert_eq!(head.status(), StatusCode::OK);
        assert_eq!(head.response().body().size(), BodySize::Sized(4));
        assert_eq!(to_bytes(head.into_body()).await.unwrap(), "");
        assert_eq!(ask(Method::HEAD, "/none").await.status(), StatusCode::NOT_FOUND);
    }

    #[actix_web::test]
    async fn it_is_allowed_where_get_is() {
        for (method, path, allow) in [
            (Method::DELETE, "/both", "GET, HEAD, PUT"),
            (Method::HEAD, "/other", "POST"),
            (Method::GET, "/other", "POST"),
        ] {
            let refused = ask(method, path).await;
            assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
            assert_eq!(refused.headers().get("allow").unwrap(), allow, "{path}");
        }
    }
}
